"""What commands show, read from several kinds of objects: workloads with their pods, every GPU with its holders.

Not here: how it is written (output/).
"""
