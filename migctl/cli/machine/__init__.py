"""Commands about this machine alone: up, down, doctor, run."""
