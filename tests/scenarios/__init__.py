"""One small language for what users do and see, and the worlds it is played in."""
