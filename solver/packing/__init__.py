"""How requests are packed onto GPUs."""
