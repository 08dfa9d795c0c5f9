"""The control plane as a user of a cluster has it: their kubeconfig and permissions, ordinary Jobs and pods.

Not here: what only the controller may do (controller/kubernetes/).
"""
