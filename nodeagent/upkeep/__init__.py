"""The agent's periodic work and what it shows of itself: health, watchdog, metrics, logs, probes.

Not here: what a caller asks of the agent.
"""
