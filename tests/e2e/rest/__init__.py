"""The REST API of a running `migctl up`, over TCP."""
