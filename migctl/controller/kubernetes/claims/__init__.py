"""Allocations on Kubernetes: written to claims and pods, and brought to where they run.

Not here: the decision.
"""
