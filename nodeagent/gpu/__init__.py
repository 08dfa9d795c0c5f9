"""One GPU under the agent's care: MIG transactions, MIG mode, software shares, health, recovery, lock, deadlines.

Not here: NVML itself (nvml/), limits of a share (shares/), a node's GPUs together (node_gpus.py).
"""
