"""Which control plane a command is about: this machine's own, or a cluster of the kubeconfig."""
