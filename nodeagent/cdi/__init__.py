"""CDI (Container Device Interface): what a container gets with its share of a GPU.

edits.py      what is changed in a container: environment, device nodes, mounts, hooks
files.py      one spec file per claim, written whole, removed with the claim
sources.py    who adds what for a prepared claim
driver.py     on real GPUs: device nodes, capabilities, the driver's libraries
toolkit.py    the driver's libraries through nvidia-ctk
software.py   software shares: the fraction libraries before the driver's
simulated.py  on simulated GPUs: an nvidia-smi that needs nothing but a shell
"""
