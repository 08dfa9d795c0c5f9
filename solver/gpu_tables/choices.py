"""How a GPU could serve one device of a demand, best first: the rule of both planners."""

from __future__ import annotations

from solver.gpu_tables.tables import ShareOption, Table, plain_option
from solver.model.demand import ContainerDemands, Demand, WholeGpus, takes
from solver.model.snapshot import MemoryRule

SOFTWARE_RANK = 9
"""After every MIG profile: no demand has so many."""
WHOLE_BY_MIG_RANK = 10
"""A whole GPU is served by one without MIG mode where there is one."""
FIRST_RANKS = (0, SOFTWARE_RANK, WHOLE_BY_MIG_RANK)
"""The best way of each kind of GPU: what serving the demand is worth."""


def choices(
    model: str, mig: bool, memory_mib: int, table: Table | None, demand: Demand, rule: MemoryRule
) -> tuple[tuple[int, ShareOption], ...]:
    """(rank, option) for GPUs of one kind. table: of a GPU in MIG mode; None where its model is not known.

    Where containers have demands of their own, what could serve any of them.
    """
    if isinstance(demand, ContainerDemands):
        found = (choice for part in demand.parts for choice in choices(model, mig, memory_mib, table, part, rule))
        return tuple(dict.fromkeys(found))
    if not takes(demand, model):
        return ()
    if mig:
        first = WHOLE_BY_MIG_RANK if isinstance(demand, WholeGpus) else 0
        return tuple(enumerate(table.mig_options(demand, rule), first)) if table else ()
    option = plain_option(demand, memory_mib)
    return ((SOFTWARE_RANK, option),) if option else ()
