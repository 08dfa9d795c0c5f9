"""What the node agent and the fraction libraries cost."""
