"""The core: the vocabulary of GPU sharing and every decision.

A frozen Snapshot goes in, a Plan comes out as data. Nothing here reads a clock, a file
system beyond its own package data, a network or a GPU.
"""
