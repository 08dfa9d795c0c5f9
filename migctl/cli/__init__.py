"""The command line: one grammar verb first, one noun first, over the same functions.

main        the entry point: runs a command, turns what went wrong into lines and an exit code
grammar     which command lives where; modules load when their command runs
session     what a command needs from outside: control plane, settings, clock, streams
failures    exit codes and the three lines of an error
output/     tables, JSON, YAML, names, watching
workloads/ gpus/ and one file per other noun: the commands
"""
