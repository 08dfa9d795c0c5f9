"""The control plane of one machine: objects in a SQLite file.

Not here: what makes processes of them (embedded/).
"""
