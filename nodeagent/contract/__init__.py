"""What the control plane and the node agent say to each other: allocations, how they travel, variables of a claim.

Not here: anything that carries an allocation out.
"""
