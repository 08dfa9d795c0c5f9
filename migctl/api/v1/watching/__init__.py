"""One stream of changes for many clients: what `GET /watch` sends.

objects.py   what is watched, and what of it changed between two moments
shown.py     an object as its own route shows it
changes.py   the changes, kept for a while and encoded once for all who see the same
streams.py   one client's stream
"""
