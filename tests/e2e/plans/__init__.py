"""What-if, defrag, kept plans, on a running `migctl up`."""
