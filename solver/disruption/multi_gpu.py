"""One opening for several devices of a node: which GPUs, and which start on each, so that the least is lost.

Openings of different GPUs share holders (a claim with several devices, a gang), so the cheapest ones
are not the cheapest together: branch and bound over GPUs, the first answer being the greedy one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from solver.disruption.victims import Claims, Cost, EvictionRights
from solver.working_copy.occupancy import Candidate

MOST_BRANCHES = 5_000


@dataclass(frozen=True, slots=True)
class PricedCandidate:
    """A candidate on one GPU, who goes for it and what that costs alone."""

    gpu: int
    candidate: Candidate
    removed: Claims
    cost: Cost


@dataclass(slots=True)
class MultiGpuSearch:
    """A search for `devices` candidates on as many GPUs.

    finish: the whole price of a choice (more may have to go for the node's sake); None where it may not be.
    """

    devices: int
    rights: EvictionRights
    finish: Callable[[tuple[Candidate, ...], Claims], tuple[Cost, Claims] | None]
    best: tuple[Cost, tuple[Candidate, ...], Claims] | None = None
    _branches: int = field(default=0)

    def search(self, gpus: Sequence[Sequence[PricedCandidate]]) -> tuple[Cost, tuple[Candidate, ...], Claims] | None:
        """The cheapest choice. gpus: each one's options, cheapest first; every choice of more claims costs no less."""
        ordered = sorted((options for options in gpus if options), key=lambda options: options[0].cost)
        if len(ordered) >= self.devices:
            self._extend((), frozenset(), ordered)
        return self.best

    def _extend(
        self, candidates: tuple[Candidate, ...], removed: Claims, left: Sequence[Sequence[PricedCandidate]]
    ) -> None:
        self._branches += 1
        missing = self.devices - len(candidates)
        if not missing:
            self._accept(candidates, removed)
            return
        choices = []
        for place, options in enumerate(left[: len(left) - missing + 1]):
            for option in options:
                if not removed:
                    choices.append((option.cost, place, option, option.removed))
                elif (wider := self.rights.complete(removed | option.removed)) is not None:
                    choices.append((self.rights.cost(wider), place, option, wider))
        choices.sort(key=lambda choice: choice[:2])
        for cost, place, option, wider in choices:
            if self._branches > MOST_BRANCHES or (self.best and self.best[0] <= cost):
                return
            self._extend((*candidates, option.candidate), wider, left[place + 1 :])

    def _accept(self, candidates: tuple[Candidate, ...], removed: Claims) -> None:
        whole = self.finish(candidates, removed)
        if whole and (self.best is None or whole[0] < self.best[0]):
            self.best = (whole[0], candidates, whole[1])


def worth_keeping(gpus: Sequence[Sequence[PricedCandidate]]) -> list[Sequence[PricedCandidate]]:
    """Of a GPU whose holders are in no other GPU's openings only the cheapest start can be in the cheapest choice."""
    seen: dict[str, set[int]] = {}
    for options in gpus:
        for option in options:
            for claim in option.removed:
                seen.setdefault(claim, set()).add(option.gpu)
    return [
        options if any(len(seen[claim]) > 1 for option in options for claim in option.removed) else options[:1]
        for options in gpus
    ]
