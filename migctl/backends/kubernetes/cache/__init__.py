"""A live copy of what matters of a Kubernetes cluster, kept by lists and watches.

Not here: any write.
"""
