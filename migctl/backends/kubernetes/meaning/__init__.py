"""What fields of Kubernetes objects mean to migctl: names, records, requests, claims,
quantities, node affinity. Pure functions.

Not here: reading or writing them (client/, stores/).
"""
