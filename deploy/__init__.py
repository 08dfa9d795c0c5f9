"""What is installed in a cluster: manifests (the one source), overlays, and a Helm chart made from the manifests.

Not here: the images' content, the installed program.
"""
