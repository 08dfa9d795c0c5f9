"""The environment variables that the agent gives to a prepared claim's processes.

VISIBLE_DEVICES, CUDA_DEVICES   UUIDs of its GPUs or MIG devices, comma-separated
CLAIM           its uid; by it the agent knows whose a process is (nodeagent/shares/process_owner.py)
LIMITS          a file with its memory limits, on GPUs that it shares without MIG
SIMULATED       the simulated machine's state file, on simulated GPUs only
CGROUP          the cgroup that they must join before anything else, where the driver bounds the share
PATH_PREFIX     a directory to put in front of PATH: it holds `nvidia-smi`; simulated GPUs only
"""

VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES"
CUDA_DEVICES = "CUDA_VISIBLE_DEVICES"
CLAIM = "MIGCTL_CLAIM"
LIMITS = "MIGCTL_LIMITS_FILE"
SIMULATED = "MIGCTL_SIMULATED_NVML"
CGROUP = "MIGCTL_CGROUP"
PATH_PREFIX = "MIGCTL_PATH_PREFIX"
