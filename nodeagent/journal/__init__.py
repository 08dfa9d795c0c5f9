"""State that survives a crash: a journal per GPU, files replaced whole, a lock per directory.

Not here: what the entries mean for a GPU (gpu/).
"""
