"""The command line: one grammar verb first, one noun first, over the same functions.

From the top, each importing only what is below it:

main                    the entry point: runs a command, turns errors into lines and an exit code
verb_first, noun_first  the two grammars; modules of commands load when their command runs
system                  the real environment, clock and control planes
submit_command          `submit` as both grammars have it
identity/ machine/ workloads/ gpus/ nodes/ simulate, then plans/ queues/, then events: the commands
grammar/                lazy groups, shared options, the table of verbs
views/                  what several commands show, read from several kinds of objects
output/                 tables, JSON, YAML, names, watching
session                 what a command needs from outside: control plane, settings, clock, streams
contexts/               the control planes: which one, and what it offers
settings, names         the config file; names as they are typed
failures                exit codes and the three lines of an error

Not here: rules of admission or planning, which every client shares.
"""
