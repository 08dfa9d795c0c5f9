"""A Kubernetes API server for tests: real HTTP, the rules that matter to migctl, and faults on demand."""
