"""The control plane as people use it on a cluster: their kubeconfig, their permissions, ordinary Jobs and pods."""
