"""What the agent reads and writes on the Kubernetes API: claims, its own GpuNode, its ResourceSlices.

access.py     where the API server is and who we are, and how a pod finds out
kubeconfig.py the same, where a kubeconfig says it
credential_command.py  tokens that a kubeconfig's command prints
client.py     requests in and JSON out, with errors that say what to do
claims.py     claims, read as they are now
gpu_node.py   the agent's report, published
slices.py     the same GPUs as ResourceSlices, for other tools
slice_store.py  keeps those slices as they should be
publisher.py  when what is published
"""
