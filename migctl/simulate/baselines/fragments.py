"""What FGD calls fragmentation: the free part of a GPU that a typical request could not use.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023, section 4: for each kind of request what of the free GPU is of no use to it, by how often
that kind arrives.
"""

from __future__ import annotations

from collections.abc import Mapping

from solver.packing.tables import Table


def unusable_units(model: Table, demand: Mapping[str, float], mask: int) -> float:
    """Of a MIG GPU whose units of the mask are taken: free units that no free slot of a profile covers, on average."""
    free = model.model.full_mask & ~mask
    return sum(often * (free & ~_reach(model, profile, mask)).bit_count() for profile, often in demand.items())


def _reach(model: Table, profile: str, mask: int) -> int:
    """The units that the free slots of a profile cover."""
    reach = 0
    for slot in model.by_profile.get(profile, ()):
        if not slot.mask & mask:
            reach |= slot.mask
    return reach
