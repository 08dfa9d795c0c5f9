"""Tiny stand-ins for what Kubernetes itself does around the API server: controllers, scheduler, kubelets."""
