"""The priorities of workloads by type. A higher one is placed first.

Below FIRST_NON_PREEMPTIBLE a workload may be preempted unless it says otherwise.
"""

TRAINING = 50
INTERACTIVE_PREEMPTIBLE = 75
INTERACTIVE = 100
INFERENCE = 125
FIRST_NON_PREEMPTIBLE = INTERACTIVE
