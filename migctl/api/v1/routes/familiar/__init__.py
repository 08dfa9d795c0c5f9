"""Paths that clients of another product read beside those of the resources themselves.

assets.py         compute presets and environments
authorization.py  roles and access rules, with numbers for roles
pods.py           pods of all workloads
reports.py        reports, of which none is kept
"""
