"""Projects and departments as clients know them.

quotas.py    resources per node pool, from and to the quotas that are stored
queues.py    how they are found by id or name, shown, and filtered
changing.py  creating and changing them
members.py   who has a role in them
"""
