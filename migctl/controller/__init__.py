"""The controller: observe, plan, apply, publish.

Not here: the planner itself (solver/), nor what starts processes (embedded/, nodeagent/).
"""
