"""The vocabulary: what a GPU can be, what a cluster is, what people ask, what a plan says."""
