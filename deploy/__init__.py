"""What a cluster is given: manifests (the one source), overlays, and a Helm chart made from the manifests."""
