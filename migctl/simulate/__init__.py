"""The simulator: what a fleet would have admitted of days of demand, with the production planner.

    events.py      arrivals, admissions and events
    fleet.py       the GPUs: "a100-40gb=100", or the node list of a trace; how large a request is on it
    demand/        arrivals: generated (a mix of sizes, Poisson arrivals, exponential lifetimes, a seed), and those
                   of the openb trace with its nodes
    loop.py        the event loop: a virtual clock, a heap of departures, and what happened as events
    policies.py    the schedulers by name; `migctl_policy.py` is `solver.online` (and `solver.planner` where
                   claims may be moved), `baselines/` are the rules of other projects
    bound.py       what a cluster that re-packs for free would admit, certified
    compare.py     the same arrivals under several policies
    results/       events in, one `Result` out; as CSV and as a picture

Two modes. Loss: a request that finds no room leaves at once; what is compared is what was admitted.
Queue: it waits and is tried again, in order of arrival, whenever a share is freed; what is compared is how
long requests waited. All policies get the same arrivals.

Nothing here reads a clock or a file but the trace, and the seed is the only source of chance: the same
question has the same answer.
"""
