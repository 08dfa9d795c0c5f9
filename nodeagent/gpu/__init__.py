"""One GPU under the agent's care: MIG transactions, MIG mode, software shares, recovery, locks and deadlines.

Not here: NVML itself (nvml/), limits of a share (shares/), work that goes on by itself (upkeep/).
"""
