"""What a node's object says, in whichever store it is: when a report is published, what became of the desired MIG mode.

Not here: reading and writing the object (kubernetes/, migctl.embedded).
"""
