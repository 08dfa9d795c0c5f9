"""What the controller costs on Kubernetes: decoding, a burst of pods, a large cluster."""
