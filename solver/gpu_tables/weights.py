"""What a request is worth: the smallest part of a GPU that could serve it, in GPUs."""

from __future__ import annotations

from solver.gpu_tables.tables import plain_option, table
from solver.model.cluster import Gpu
from solver.model.demand import OneDemand, Request, parts_of
from solver.model.snapshot import MemoryRule, Policy, Snapshot


class Weights:
    """What requests are worth on the GPUs of one snapshot."""

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        rules = {node.name: policy.memory_rule(node.pool) for node in snapshot.nodes}
        self._snapshot = snapshot
        self._kinds = {(gpu.model, gpu.mig, gpu.memory_mib, rules[gpu.node]): gpu for gpu in snapshot.gpus}
        self._known: dict[OneDemand, float] = {}

    def of(self, request: Request) -> float:
        """Parts of SMs and memory, averaged; over all kinds of GPU here the smallest. 0 where none can serve it."""
        return sum(demand.devices * self._least(demand) for demand in parts_of(request.demand))

    def _least(self, demand: OneDemand) -> float:
        if demand not in self._known:
            parts = (part for key, gpu in self._kinds.items() for part in _parts(self._snapshot, gpu, demand, key[-1]))
            self._known[demand] = min(parts, default=0.0)
        return self._known[demand]


def _parts(snapshot: Snapshot, gpu: Gpu, demand: OneDemand, rule: MemoryRule) -> list[float]:
    model = snapshot.models.get(gpu.model)
    if not gpu.mig:
        option = plain_option(demand, gpu.memory_mib)
        return [option.portion] if option else []
    if model is None:
        return []
    rows = table(model)
    return [rows.weight(o.profile) for o in rows.mig_options(demand, rule)[:1] if o.profile]
