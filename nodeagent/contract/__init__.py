"""What control plane and node agent must understand alike: the modules of the agent that the control plane imports.

Not here: anything that carries an allocation out, or that talks to a cluster.

allocation.py   allocations, and what the agent says of them
holders.py      whose a share is: a claim's, or one of its requests'
wire.py         how they travel through the Kubernetes API
merge_patch.py  how changes travel
environment.py  the variables of a claim's processes
limits_file.py  the file that one of them names
kubeconfig.py   kubeconfig files
units.py        units of memory
"""
