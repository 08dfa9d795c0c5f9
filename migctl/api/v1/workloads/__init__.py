"""What the routes of workloads say: from what was sent to objects, and from objects to what is answered.

spec_in.py     from a spec as it was sent to a WorkloadSpec
record.py      from a workload to its record
submission.py  exactly one workload for a submission that arrives more than once
lifecycle.py   delete, suspend, resume, of one and of many
found.py       the workload of an id
rows.py        rows of lists, kept for as long as their objects stay the same
fields.py      what lists are filtered and sorted by
details.py     pods, events, history, figures
"""
