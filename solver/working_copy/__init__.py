"""The cluster while a plan is made: what is taken, what is free, and where a request fits best.

Not here: any decision about whom to serve, to move or to stop (sequential/, batch/, disruption/).
"""
