"""Who holds what of which GPU: one rule for the CLI and the REST API.

fleet.py       nodes' reports and claims' allocations put together
gpu_blocks.py  a GPU as blocks that fill it
"""
