"""The control plane over HTTP, on a Unix socket."""
