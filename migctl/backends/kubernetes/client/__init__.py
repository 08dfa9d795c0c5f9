"""Requests to a Kubernetes API server: the connection, verbs, resources, the fields that are read, refusals.

Not here: what the fields mean (meaning/), what is stored of them (cache/).
"""
