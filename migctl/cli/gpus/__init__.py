"""`gpus`: a live map of every GPU.

picture   the blocks of each GPU drawn as text
command   the command, and the map for machines

Not here: what the blocks are (views/gpu_blocks).
"""
