"""The stores of the kinds that the controller and users share: how each is read and written in the API server.

Not here: workloads and claims, which the two see differently (user/, controller/kubernetes/claims/).
"""
