"""Where commands go: this machine's own control plane, or a cluster's."""
