"""What the agent reads and writes on the Kubernetes API: claims, its own GpuNode, its ResourceSlices.

Not here: when a report is published and what a MIG mode's status says (node_status/).

access.py       where the API server is and with which credentials it is called
kubeconfig.py   the same from a kubeconfig
credential_command.py  tokens that a kubeconfig's command prints
client.py       requests, and the errors of their responses
claims.py       ResourceClaims, read
gpu_node.py     the agent's report, written
dynamic_mig.py  the desired MIG mode, read and answered
devices.py      the node's devices
slices.py       the same as ResourceSlices, for other tools
slice_store.py  ResourceSlices, written
publisher.py    the thread that publishes
"""
