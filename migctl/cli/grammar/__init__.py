"""The two grammars, verb first and noun first: which command lives where, and the options that several share.

Not here: what a command does.
"""
