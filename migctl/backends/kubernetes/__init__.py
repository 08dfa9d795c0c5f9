"""The control plane that lives in a Kubernetes API server."""
