"""Checks whether a machine is fit to share its GPUs: findings as data, each with its fix.

Not here: any change to the machine.
"""
