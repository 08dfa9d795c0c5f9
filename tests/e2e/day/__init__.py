"""A day of many users on simulated nodes: what they type, what befalls the machine, and what must be true at rest."""
