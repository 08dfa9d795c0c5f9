"""CDI (Container Device Interface): what a container gets with its share of a GPU.

Not here: shares of processes on the host (shares/host_shares.py).

edits.py      changes of a container: environment, device nodes, mounts, hooks
files.py      one spec file per claim
sources.py    where a claim's edits come from
driver.py     on real GPUs: device nodes, capabilities, the driver's libraries
toolkit.py    the driver's libraries through nvidia-ctk
software.py   software shares: the fraction libraries before the driver's
simulated.py  on simulated GPUs: an nvidia-smi that needs nothing but a shell
"""
