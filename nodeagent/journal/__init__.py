"""What the agent must not forget: an append-only journal per GPU, files that survive a crash, one agent per folder.

Not here: what the entries make the agent do (gpu/).
"""
