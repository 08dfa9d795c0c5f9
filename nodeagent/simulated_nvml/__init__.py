"""NVIDIA GPUs without NVIDIA GPUs: a driver library that stands behind pynvml.

Not here: anything that the real driver does not do.

state.py      the machine's state in one file: it outlives every process, as hardware does
processes.py  which processes use GPU memory: pids with their start times
gpu_models.py what NVML returns for each model
spec.py       `a100-40gb=2,v100=1` -> a state file
hardware.py   the rules: what may be created, destroyed, switched
faults.py     errors, hangs and kills that a test sets at a call
loaded_library.py  a loaded library: hardware, handles, what the process may see
handles.py    the opaque handles that it gives out
calls/        the C functions by family
library.py    the object behind pynvml
smi.py        the table `nvidia-smi` prints
"""
