"""Is this machine fit to share its GPUs? Findings as data, each with its fix.

Not here: any change to the machine.
"""
