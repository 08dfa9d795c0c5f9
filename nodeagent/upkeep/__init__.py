"""What the agent does by itself, again and again: health of GPUs, watch over shares, metrics, logs, probes.

Not here: anything that a caller asked for.
"""
