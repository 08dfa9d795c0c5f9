"""The vocabulary: GPU models, a cluster, requests, plans, and what shares take of GPUs.

Not here: any decision.
"""
