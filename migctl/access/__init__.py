"""Who may do what on one machine. On a cluster the API server decides.

rights.py      the one table: which role may do what on which kind
caller.py      who a request is from, and what he may do where
authorized.py  the control plane as a caller may use it; every door goes through it
giving.py      what access rules and tokens must be
ending.py      streams end when their caller may not have them any more
visible.py     the cached objects that a caller may see
hidden_names.py  texts without the names that a caller may not learn
identity/      who a request is from
audit/         what was done, by whom
"""
