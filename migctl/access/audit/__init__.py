"""The audit trail: every write and every attempt to sign in, as JSON lines.

trail.py    the files: written, rotated, read
audited.py  a control plane that writes each change into the trail
"""
