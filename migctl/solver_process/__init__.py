"""The core's planner as this program runs it: the exact solver in a process of its own, which may hang or die.

Not here: what is solved (solver/batch/optimum), and any decision.
"""
