"""The adapter to GPUs: everything that touches NVML, MIG instances or a container runtime."""
