"""Objects in files, on a machine with simulated GPUs."""
