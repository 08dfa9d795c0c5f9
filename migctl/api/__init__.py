"""The server of the control plane over HTTP, on a Unix socket.

Not here: the wire format and the client (backends/http/).
"""
