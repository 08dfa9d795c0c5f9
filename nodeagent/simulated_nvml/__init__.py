"""NVIDIA GPUs without NVIDIA GPUs: a driver library that stands behind pynvml.

state.py      the machine's state in one file: it outlives every process, as hardware does
processes.py  who holds GPU memory: pids with their start times
gpu_models.py what NVML calls each model, and its limits
spec.py       `a100-40gb=2,v100=1` -> a state file
hardware.py   the rules: what may be created, destroyed, switched
faults.py     errors, hangs and kills that a test asks for at a call
library.py    the C functions, filling real ctypes structures
smi.py        the table `nvidia-smi` prints
"""
