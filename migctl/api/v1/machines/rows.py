"""The machines as lists filter them."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from migctl.api.v1.filters import FilterFields
from migctl.api.v1.service import CallersService
from migctl.backends.mirror import ObjectView
from migctl.gpu_map.fleet import Fleet, SeenGpu, build
from migctl.gpu_map.gpu_blocks import closed, free
from migctl.objects import Claim, GpuNode, NodePool


@dataclass(frozen=True, slots=True)
class MachineRow:
    """A node that the caller may see, with its GPUs."""

    node: GpuNode
    gpus: tuple[SeenGpu, ...]
    pool: str

    @property
    def models(self) -> str:
        """The models of its GPUs."""
        return ", ".join(sorted({seen.model.id for seen in self.gpus}))


@dataclass(frozen=True, slots=True)
class GpuRow:
    """A GPU of a node that the caller may see."""

    machine: MachineRow
    seen: SeenGpu


async def fleet_of(door: CallersService) -> Fleet:
    """All GPUs with all that is held of them, as new as the view; names are left out where they are shown."""
    view = door.service.view
    generation = await view.wait(-1)
    kept = _kept.get(view)
    if kept is None or kept[0] != generation:
        kept = _kept[view] = generation, build(view.all(GpuNode), view.all(Claim), view.all(NodePool))
    return kept[1]


_kept: WeakKeyDictionary[ObjectView, tuple[int, Fleet]] = WeakKeyDictionary()


def machines(door: CallersService, fleet: Fleet) -> list[MachineRow]:
    """The nodes that the caller may see."""
    return [MachineRow(node, tuple(fleet.on(node.meta.name)), fleet.pool_of(node)) for node in door.seen.all(GpuNode)]


NODES: FilterFields[MachineRow] = FilterFields(
    uid=lambda row: row.node.meta.uid,
    text=lambda row: f"{row.node.meta.name} {row.node.meta.uid} {row.pool} {row.models}".casefold(),
    texts={
        "name": lambda row: row.node.meta.name.casefold(),
        "id": lambda row: row.node.meta.uid.casefold(),
        "status": lambda row: ("Ready" if row.node.status.ready else "NotReady").casefold(),
        "nodepool": lambda row: row.pool.casefold(),
        "gpuType": lambda row: row.models.casefold(),
        "cordoned": lambda row: str(row.node.spec.cordoned).lower(),
    },
    numbers={
        "gpuCount": lambda row: len(row.gpus),
        "allocatedGpus": lambda row: sum(seen.used for seen in row.gpus),
        "freeGpus": lambda row: sum(map(free, row.gpus)),
    },
    times={"createdAt": lambda row: row.node.meta.created},
)
"""What nodes can be filtered and sorted by."""

GPUS: FilterFields[GpuRow] = FilterFields(
    uid=lambda row: row.seen.gpu.uuid,
    text=lambda row: f"{row.seen.name} {row.seen.gpu.uuid} {row.seen.model.id} {row.machine.pool}".casefold(),
    texts={
        "id": lambda row: row.seen.gpu.uuid.casefold(),
        "name": lambda row: row.seen.name.casefold(),
        "node": lambda row: row.seen.gpu.node.casefold(),
        "nodepool": lambda row: row.machine.pool.casefold(),
        "model": lambda row: row.seen.model.id.casefold(),
        "mig": lambda row: str(row.seen.gpu.mig).lower(),
        "open": lambda row: str(not closed(row.seen)).lower(),
    },
    numbers={
        "index": lambda row: row.seen.gpu.index,
        "free": lambda row: free(row.seen),
        "allocated": lambda row: row.seen.used,
        "memoryMib": lambda row: row.seen.gpu.memory_mib,
    },
)
"""What GPUs can be filtered and sorted by."""
