"""The adapters to people and Kubernetes: command line, API, controller, embedded control plane."""
