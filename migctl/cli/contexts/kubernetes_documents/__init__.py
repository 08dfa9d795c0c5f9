"""Documents of Kubernetes on one machine: the workloads that they mean there, and what of them has no meaning."""
