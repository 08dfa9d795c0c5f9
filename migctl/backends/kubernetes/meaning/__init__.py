"""What fields of Kubernetes objects mean to migctl: names, requests, claims, quantities, node affinity. Pure.

Not here: reading or writing them.
"""
