"""Allocations on Kubernetes: written to ResourceClaims and pods, and followed until the pods run.

Not here: the decision (controller/).
"""
