"""The verdict before sending: what the planner would do with a workload now, and nothing is created.

judging.py  a decision that had the workload's pods among those that wait -> WorkloadVerdict
hiding.py   a reason without what names the work of projects that its reader may not see
deciding.py the path from a workload to its verdict
live.py     verdicts on the cached objects of a running controller
"""
