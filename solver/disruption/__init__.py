"""Who may have to make room for whom, and the cheapest way to do it.

Not here: whether room is made at all (sequential/).
"""
