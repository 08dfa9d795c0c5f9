"""`gpus`: a live map of every GPU.

blocks    what one GPU's map consists of, from left to right
picture   blocks drawn as text
command   the command, and the map for machines
"""
