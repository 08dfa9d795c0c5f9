"""What limits a claim to its share: the libraries on the host, the driver's limits, time slices, process ownership.

Not here: the libraries themselves (shim/), and what a container is given (cdi/).
"""
