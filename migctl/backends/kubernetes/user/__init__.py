"""The control plane as a person has it on a cluster: their kubeconfig, their permissions, ordinary Jobs and pods.

Not here: what only the controller may do (controller/kubernetes/).
"""
