"""Places for the containers of one pod: one after another on a copy of the node, the largest first.

Depth first over what each container could have, the best first, so that the first answer is the greedy one; at most
MOST_TRIED places are tried, which is exact for the few containers that a pod has on most nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from solver.model.demand import ContainerDemands, Request
from solver.working_copy.occupancy import GPU_FIELDS, Candidate, WorkingNode

MOST_TRIED = 256
P = TypeVar("P")
"""What a place costs."""


@dataclass(frozen=True, slots=True)
class ContainerPlace(Generic[P]):
    """Where one container could go on the copied node, whose holders leave for it, and what that costs."""

    price: P
    candidates: Sequence[Candidate]
    removed: frozenset[str] = frozenset()


@dataclass(slots=True)
class ContainerPlaces(Generic[P]):
    """A search for places of all containers of a pod on one node.

    options  what a container, by a request of its own, could have on the copied node, the best first; removed: whose
             holders leave for those before it
    size     of a container's demand: the largest is placed first
    """

    node: WorkingNode
    options: Callable[[WorkingNode, Request, frozenset[str]], Iterable[ContainerPlace[P]]]
    size: Callable[[Request], float]
    _tried: int = field(default=0)

    def search(self, request: Request) -> list[ContainerPlace[P]] | None:
        """The places of the containers, in their order; None where no choice was found that has room for all."""
        assert isinstance(request.demand, ContainerDemands)
        bare = replace(request, cpu_milli=0, memory_mib=0, anti_affinity=None)
        own = [replace(bare, demand=part) for part in request.demand.parts]
        order = sorted(range(len(own)), key=lambda number: -self.size(own[number]))
        found = self._extend(self.node.copied(), [own[number] for number in order], frozenset())
        if found is None:
            return None
        originals = {gpu.reported.uuid: gpu for gpu in self.node.gpus}
        places = dict(zip(order, found, strict=True))
        return [
            replace(
                places[number],
                candidates=[replace(c, gpu=originals[c.share.gpu]) for c in places[number].candidates],
            )
            for number in range(len(own))
        ]

    def _extend(
        self, copy: WorkingNode, left: Sequence[Request], removed: frozenset[str]
    ) -> list[ContainerPlace[P]] | None:
        if not left:
            return []
        for place in self.options(copy, left[0], removed):
            if self._tried == MOST_TRIED:
                return None
            self._tried += 1
            before = [[getattr(gpu, name) for name in GPU_FIELDS] for gpu in copy.gpus]
            for gpu in copy.gpus:
                for claim in place.removed - removed:
                    gpu.remove(claim)
            for candidate in place.candidates:
                candidate.gpu.give(left[0].claim, candidate)
            rest = self._extend(copy, left[1:], removed | place.removed)
            if rest is not None:
                return [place, *rest]
            for gpu, values in zip(copy.gpus, before, strict=True):
                for name, value in zip(GPU_FIELDS, values, strict=True):
                    setattr(gpu, name, value)
        return None
