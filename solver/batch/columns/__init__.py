"""A snapshot as columns: its GPUs, holdings and requests read once each, and arithmetic on whole numbers.

Not here: any decision.
"""
