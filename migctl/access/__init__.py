"""Who may do what on one machine. On a cluster the API server decides.

rights.py      the one table: which role may do what on which kind
caller.py      who a request is from, and what he may do where
authorized.py  the control plane as a caller may use it; every door goes through it
visible.py     the cached objects that a caller may see
"""
