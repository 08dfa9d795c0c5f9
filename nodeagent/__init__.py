"""The adapter to GPUs: everything that touches NVML, MIG instances or a container runtime.

Not here: where a claim goes (solver/), and who asked for it (migctl/).
"""
