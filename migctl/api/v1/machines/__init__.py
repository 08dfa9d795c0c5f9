"""Nodes, node pools and GPUs as clients know them.

rows.py     nodes and GPUs as lists filter them
shown.py    how they are shown: others' work without its names
pools.py    node pools
"""
