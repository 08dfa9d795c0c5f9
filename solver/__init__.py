"""The core: the vocabulary of GPU sharing and every decision.

A frozen Snapshot goes in, a Plan comes out as data. Nothing here reads a clock, a file system beyond its own package
data, a network or a GPU, or starts a process: the exact solver for batches is handed in by the caller.

Doors for the other houses, held by tests/test_public_surface.py:

model/       the vocabulary, all of it
planner      plan(snapshot, policy, solver) -> Plan
online       Online: decisions one event at a time
whatif       compare(snapshot, edits): what would differ
defragment   propose(snapshot, ...): moves that would join free room
batch/batch_solver  BatchSolver: what the caller hands in
"""
