"""The control plane and its command line: API, controller, backends, embedded mode, simulator.

Not here: the planner (solver/) and what talks to the driver (nodeagent/).
"""
