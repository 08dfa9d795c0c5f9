"""The stores of the kinds that controller and people share: how each is read and written in the API server.

Not here: workloads and claims, which the two see differently (user/, controller/kubernetes/claims/).
"""
