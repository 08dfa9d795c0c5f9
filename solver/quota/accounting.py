"""What projects use, in the quota currency: GPUs, where a part of a GPU counts as its portion.

A fraction counts devices x portion, memory its portion of the device, a MIG instance its compute
slices over the model's, a whole GPU 1; each rounded to 0.01 when shown. Pending work counts as
requested, never as allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solver.model.demand import ContainerDemands, Demand, Fraction, Grant, Memory, MigProfile, takes
from solver.model.geometry import GpuModel
from solver.model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Usage:
    """GPUs a project holds, the part of them that may not be preempted, and all it wants."""

    allocated: float = 0.0
    non_preemptible: float = 0.0
    requested: float = 0.0


def granted(grant: Grant) -> float:
    """GPUs a grant counts for."""
    return sum(share.portion for share in grant.devices)


def asked(demand: Demand, models: Mapping[str, GpuModel]) -> float:
    """GPUs an ask will count for: exact but for memory, which depends on the GPU it lands on (the largest here)."""
    if isinstance(demand, ContainerDemands):
        return sum(asked(part, models) for part in demand.parts)
    if isinstance(demand, Fraction):
        return demand.portion * demand.devices
    possible = [model for model in models.values() if takes(demand, model.id)]
    if isinstance(demand, Memory):
        largest = max((model.memory_mib for model in possible), default=0)
        return demand.devices * min(1.0, demand.mib / largest) if largest else float(demand.devices)
    if isinstance(demand, MigProfile):
        portions = [p.slices / model.slices for model in possible if (p := model.profile(demand.profile))]
        return demand.devices * min(portions, default=1.0)
    return float(demand.devices)


def usage(snapshot: Snapshot) -> dict[str, Usage]:
    """Each project's figures; projects without work are left out."""
    totals: dict[str, Usage] = {}
    for holding in snapshot.held:
        request, gpus = holding.request, granted(holding.grant)
        old = totals.get(request.project, Usage())
        totals[request.project] = Usage(
            old.allocated + gpus,
            old.non_preemptible + (0.0 if request.preemptible else gpus),
            old.requested + gpus,
        )
    for request in snapshot.pending:
        old = totals.get(request.project, Usage())
        wanted = asked(request.demand, snapshot.models)
        totals[request.project] = Usage(old.allocated, old.non_preemptible, old.requested + wanted)
    return totals
