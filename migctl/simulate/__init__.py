"""What would a fleet have admitted? A simulator of days of demand, with the production planner in it.

    events.py      arrivals, admissions and events
    fleet.py       the GPUs: "a100-40gb=100", or the node list of a trace; how large a request is on it
    workload.py    generated arrivals: a mix of sizes, Poisson arrivals, exponential lifetimes, a seed
    openb.py       arrivals and nodes of the openb trace
    loop.py        the event loop: a virtual clock, a heap of departures, and what happened as events
    policies.py    those who decide, by name; `ours.py` is `solver.online` (and `solver.planner` where
                   work may be moved), `baselines/` are others' rules
    bound.py       what a cluster that re-packs for free would admit, certified
    metrics.py     events in, one `Result` out
    compare.py     the same arrivals under several policies
    report.py      results as CSV
    charts.py      results as a picture

Two ways of refusal. Loss: who finds no room leaves at once; what is compared is who was admitted.
Queue: who finds no room waits, and is tried again, in order of arrival, whenever somebody leaves; what
is compared is how long requests waited. All policies meet the same arrivals.

Nothing here reads a clock or a file but the trace, and the seed is the only source of chance: the same
question has the same answer.
"""
