"""Node pools as what is divided among queues: how many GPUs each has, and in what grain."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from solver.model.cluster import Gpu, InstanceState
from solver.model.demand import DeviceShare
from solver.model.snapshot import Snapshot

NOT_OURS = (InstanceState.FOREIGN, InstanceState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Pool:
    """GPUs that can serve requests, without what is not ours; grain: one GPU, or one compute slice where MIG is on."""

    name: str
    gpus: float = 0.0
    grain: float = 1.0


def pools(snapshot: Snapshot) -> dict[str, Pool]:
    """Every pool that a node is in, by name."""
    held: defaultdict[str, list[DeviceShare]] = defaultdict(list)
    for holding in snapshot.held:
        for share in holding.grant.devices:
            held[share.gpu].append(share)
    nodes = {node.name: node for node in snapshot.nodes}
    found = {name: Pool(name) for name in sorted({node.pool for node in snapshot.nodes})}
    for gpu in snapshot.gpus:
        if node := nodes.get(gpu.node):
            old = found[node.pool]
            usable = node.ready and not gpu.fenced
            gpus = _ours(gpu, snapshot) if usable else sum(share.portion for share in held[gpu.uuid])
            slices = snapshot.models[gpu.model].slices if gpu.mig and gpu.model in snapshot.models else 0
            found[node.pool] = Pool(node.pool, old.gpus + gpus, min(old.grain, 1 / slices) if slices else old.grain)
    return found


def _ours(gpu: Gpu, snapshot: Snapshot) -> float:
    """The part of a GPU that is not taken by instances of others."""
    model = snapshot.models.get(gpu.model)
    if model is None or not model.slices:
        return 1.0
    taken = [p.slices for i in gpu.instances if i.state in NOT_OURS and (p := model.profile(i.profile))]
    return max(0.0, 1.0 - sum(taken) / model.slices)
