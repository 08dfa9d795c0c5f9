"""Steps of a plan and their order: evict, then destroy, then create, then assign."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from solver.model.demand import Grant
from solver.model.geometry import Placement
from solver.model.plan import Assign, Create, Destroy, Evict, Step
from solver.working_copy.occupancy import Candidate


class StepList:
    """Collects steps so that each one's predecessors stand before it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._after: dict[int, tuple[int, ...]] = {}
        self._evicted: dict[str, int] = {}
        self._destroyed: dict[str, dict[Placement, int]] = {}

    @property
    def after(self) -> Mapping[int, tuple[int, ...]]:
        return MappingProxyType(self._after)

    @property
    def operations(self) -> int:
        return sum(isinstance(step, Create | Destroy) for step in self.steps)

    @property
    def evicted(self) -> int:
        return len(self._evicted)

    def evict(self, claim: str, beneficiary: str, why: str) -> None:
        self._evicted[claim] = self._add(Evict(claim, beneficiary, why), ())

    def assign(self, claim: str, grant: Grant, candidates: tuple[Candidate, ...], waits_for: tuple[str, ...]) -> None:
        """All it takes to give `grant`: instances in the way destroyed, its own created, then assigned."""
        removed = tuple(self._evicted[c] for c in waits_for if c in self._evicted)
        ready = [step for candidate in candidates for step in self._prepare(candidate, removed)]
        self._add(Assign(claim, grant), (*removed, *ready))

    def clear(self, candidates: tuple[Candidate, ...], waits_for: tuple[str, ...]) -> None:
        """Destroy what is in the way of these candidates: others may come to stand there before they are taken."""
        removed = tuple(self._evicted[c] for c in waits_for if c in self._evicted)
        for candidate in candidates:
            self._clear(candidate, removed)

    def _clear(self, candidate: Candidate, removed: tuple[int, ...]) -> None:
        gpu = candidate.share.gpu
        destroyed = self._destroyed.setdefault(gpu, {})
        for instance in candidate.destroys:
            if instance not in destroyed:
                destroyed[instance] = self._add(Destroy(gpu, instance.profile, instance.start), removed)

    def _bar(self, candidate: Candidate, instance: Placement) -> bool:
        """Whether media engines keep the two from standing together."""
        table, profile = candidate.gpu.table, candidate.share.profile
        return table is not None and profile is not None and not table.beside((profile, instance.profile))

    def _prepare(self, candidate: Candidate, removed: tuple[int, ...]) -> tuple[int, ...]:
        """Steps the candidate stands on: what is destroyed on its units, by whomever's steps, and its own creation."""
        gpu, share = candidate.share.gpu, candidate.share
        self._clear(candidate, removed)
        if share.profile is None or share.start is None:
            return ()
        mask = candidate.gpu.mask_of(Placement(share.profile, share.start))
        cleared = tuple(
            step
            for instance, step in self._destroyed[gpu].items()
            if instance in candidate.destroys
            or candidate.gpu.mask_of(instance) & mask
            or self._bar(candidate, instance)
        )
        if not candidate.creates:
            return cleared
        return (self._add(Create(gpu, share.profile, share.start), (*removed, *cleared)),)

    def _add(self, step: Step, after: tuple[int, ...]) -> int:
        self.steps.append(step)
        if after:
            self._after[len(self.steps) - 1] = tuple(sorted(set(after)))
        return len(self.steps) - 1
