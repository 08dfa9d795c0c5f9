"""What keeps a share within its limits: libraries on the host, limits of the driver, turns, and whose a process is.

Not here: the libraries themselves (shim/), and what a container is given (cdi/).
"""
