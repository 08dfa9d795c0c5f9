"""The batch optimum: how many GPUs of each state take each pattern, proven good by a bound.

Runs behind the port `BatchSolver`; only `linear.py` talks to OR-Tools.
"""
