"""The results of a simulation: figures, charts and CSV."""
