"""One machine without Kubernetes: SQLite for objects, process groups for pods."""
