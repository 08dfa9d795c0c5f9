"""The controller on Kubernetes: leader election, snapshots, and the reconcilers that run beside the loop.

Not here: the loop itself (controller/), the API server's protocol (backends/kubernetes/).
"""
