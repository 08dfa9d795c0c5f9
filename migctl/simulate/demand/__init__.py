"""What arrives in a simulation: generated demand, or a trace's."""
