"""The control plane on Kubernetes: the API server stores its objects.

Imports go down: user (a person's view), control_plane, stores (one per kind), cache (what is known), meaning (what
fields mean), client (HTTP). Not here: decisions and the reconcilers of a cluster (controller/kubernetes/).
"""
