"""The controller on Kubernetes: leader election, snapshot, liveness of agents, what stands beside the loop.

Not here: the loop itself (controller/), the API server's protocol (backends/kubernetes/).
"""
