"""Requests planned one after another on a working copy, with moves and evictions, and why one waits.

Not here: the copy itself (working_copy/), who may have to go (disruption/), many requests at once (batch/).
"""
