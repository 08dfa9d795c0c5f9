"""What came of a simulation: figures, charts, lines for other programs."""
