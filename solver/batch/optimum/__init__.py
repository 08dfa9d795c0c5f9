"""The batch optimum: how many GPUs of each state take each pattern, proven good by a bound.

Runs in the worker process (solver/batch/worker); only `linear.py` talks to OR-Tools.
"""
