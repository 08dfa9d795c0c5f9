"""Carries a plan's steps out on a copy of the GPUs, as hardware would: the checker's other half."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from solver.model.cluster import Backing, Gpu, InstanceState
from solver.model.demand import Holding
from solver.model.geometry import Placement
from solver.model.plan import Assign, Create, Destroy, Evict, Plan
from solver.model.snapshot import Snapshot

PORTION_SLACK = 1e-4
Cell = tuple[str, int]


class Replay:
    """The steps carried out on a copy of the GPUs, in the plan's order."""

    def __init__(self, snapshot: Snapshot, plan: Plan, gone: Iterable[str]) -> None:
        self.snapshot, self.plan = snapshot, plan
        self.gpus = {gpu.uuid: gpu for gpu in snapshot.gpus}
        self.instances: dict[str, dict[Placement, tuple[InstanceState, str | None]]] = defaultdict(dict)
        self.shares: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
        self.held = {h.request.claim: h for h in snapshot.held}
        self._load()
        self._release(c for c in gone if self.held[c].releasing)

    def _load(self) -> None:
        for gpu in self.snapshot.gpus:
            for i in gpu.instances:
                self.instances[gpu.uuid][Placement(i.profile, i.start)] = (i.state, i.claim)
            for part in gpu.parts:
                self._share(gpu.uuid, part.claim, part.portion, part.memory_mib)
            if gpu.held_by:
                self.shares[gpu.uuid][gpu.held_by] = (1.0, gpu.memory_mib)
        for holding in self.snapshot.held:
            self._lay(holding)

    def _lay(self, holding: Holding) -> None:
        claim = holding.request.claim
        for uuid in {share.gpu for share in holding.grant.devices}:
            self.shares[uuid].pop(claim, None)
        for share in holding.grant.devices:
            if share.gpu not in self.gpus:
                continue
            if share.backing is not Backing.MIG:
                self._share(share.gpu, claim, share.portion, share.memory_mib)
                continue
            place = Placement(share.profile or "", share.start or 0)
            here = self.instances[share.gpu]
            for other, (state, _) in list(here.items()):
                if state is InstanceState.IDLE and self._mask(share.gpu, other) & self._mask(share.gpu, place):
                    del here[other]
            here[place] = (InstanceState.BUSY, claim)

    def _share(self, uuid: str, claim: str, portion: float, mib: int) -> None:
        """Add to what a claim has of a GPU without MIG: its containers may have a share each."""
        before = self.shares[uuid].get(claim, (0.0, 0))
        self.shares[uuid][claim] = (before[0] + portion, before[1] + mib)

    def _mask(self, uuid: str, place: Placement) -> int:
        gpu = self.gpus[uuid]
        seen = next((i.mask for i in gpu.instances if (i.profile, i.start) == (place.profile, place.start)), None)
        if seen is not None:
            return seen
        profile = self.snapshot.models[gpu.model].profile(place.profile)
        assert profile is not None, f"{gpu.model} has no profile {place.profile}"
        return ((1 << profile.size) - 1) << place.start

    def _release(self, claims: Iterable[str]) -> None:
        """Instances of these claims become idle, their other shares free."""
        for claim in claims:
            for share in self.held[claim].grant.devices:
                here = self.instances[share.gpu]
                place = Placement(share.profile or "", share.start or 0)
                if share.backing is Backing.MIG and here.get(place) == (InstanceState.BUSY, claim):
                    here[place] = (InstanceState.IDLE, None)
                self.shares[share.gpu].pop(claim, None)

    def run(self) -> None:
        done: dict[int, set[int]] = {}
        last: dict[Cell, int] = {}
        for position, step in enumerate(self.plan.steps):
            before = set(self.plan.after.get(position, ()))
            done[position] = before | {e for b in before for e in done[b]}
            if isinstance(step, Evict):
                self._evict(step, position, last)
            elif isinstance(step, Destroy):
                self._destroy(step, position, done, last)
            elif isinstance(step, Create):
                self._create(step, position, done, last)
            else:
                self._assign(step, position, done, last)

    def _cells(self, uuid: str, place: Placement) -> list[Cell]:
        mask = self._mask(uuid, place)
        return [(uuid, unit) for unit in range(mask.bit_length()) if mask >> unit & 1]

    def _follows(self, cells: list[Cell], position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        """Each step on a unit must be ordered after the step before it there, not merely listed later."""
        for cell in cells:
            if cell in last:
                assert last[cell] in done[position], f"step {position} does not wait for step {last[cell]}"
            last[cell] = position

    def _evict(self, step: Evict, position: int, last: dict[Cell, int]) -> None:
        holding = self.held[step.claim]
        for share in holding.grant.devices:
            if share.backing is Backing.MIG and share.gpu in self.gpus:
                for cell in self._cells(share.gpu, Placement(share.profile or "", share.start or 0)):
                    last[cell] = position
        self._release([step.claim])

    def _destroy(self, step: Destroy, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        place = Placement(step.profile, step.start)
        state = self.instances[step.gpu].get(place)
        assert state is not None, f"step {position} destroys {place} on {step.gpu}, which is not there"
        assert state[0] is InstanceState.IDLE, f"step {position} destroys {place} on {step.gpu}, which is {state[0]}"
        self._follows(self._cells(step.gpu, place), position, done, last)
        del self.instances[step.gpu][place]

    def _create(self, step: Create, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        gpu = self.gpus[step.gpu]
        assert gpu.mig, f"step {position} creates an instance on {gpu.uuid}, which has no MIG"
        assert not gpu.fenced, f"step {position} creates an instance on fenced GPU {gpu.uuid}"
        place = Placement(step.profile, step.start)
        profile = self.snapshot.models[gpu.model].profile(step.profile)
        assert profile is not None, f"{gpu.model} has no profile {step.profile}"
        assert step.start in profile.starts, f"step {position}: {step.profile} may not start at {step.start}"
        here = self.instances[step.gpu]
        mask = self._mask(step.gpu, place)
        for other in here:
            assert not self._mask(step.gpu, other) & mask, f"step {position}: {place} overlaps {other} on {gpu.uuid}"
        here[place] = (InstanceState.IDLE, None)
        self._engines_suffice(gpu, here)
        self._follows(self._cells(step.gpu, place), position, done, last)

    def _engines_suffice(self, gpu: Gpu, here: Iterable[Placement]) -> None:
        model = self.snapshot.models[gpu.model]
        profiles = [p for place in here if (p := model.profile(place.profile))]
        for profile in profiles:
            same = sum(p.name == profile.name for p in profiles)
            assert same <= profile.max_count, f"{same} x {profile.name} on {gpu.uuid}"
        media = [p for p in profiles if "+me" in p.name]
        assert len(media) <= 1, f"more than one instance with media extensions on {gpu.uuid}"
        if any(p.name.endswith("+me.all") for p in profiles):
            others = [p.name for p in profiles if not p.name.endswith(("+me.all", "-me"))]
            assert not others, f"{others} beside +me.all on {gpu.uuid}"
        if model.engines is not None:
            known = [p.engines for p in profiles if p.engines is not None]
            for engine in ("decoders", "jpeg", "ofa"):
                used = sum(getattr(e, engine) for e in known)
                assert used <= getattr(model.engines, engine), f"too many {engine} on {gpu.uuid}"

    def _assign(self, step: Assign, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        for share in step.grant.devices:
            gpu = self.gpus[share.gpu]
            if share.backing is Backing.MIG:
                place = Placement(share.profile or "", share.start or 0)
                state = self.instances[gpu.uuid].get(place)
                assert state is not None, f"{step.claim} is given {place} on {gpu.uuid}, which is not there"
                assert state[0] is InstanceState.IDLE, f"{step.claim} is given {place} on {gpu.uuid}: {state}"
                self._follows(self._cells(gpu.uuid, place), position, done, last)
                self.instances[gpu.uuid][place] = (InstanceState.BUSY, step.claim)
                continue
            parts = self.shares[gpu.uuid]
            assert not self.instances[gpu.uuid], f"{step.claim} is given a share of {gpu.uuid} beside instances"
            self._share(gpu.uuid, step.claim, share.portion, share.memory_mib)
            assert sum(p for p, _ in parts.values()) <= 1 + PORTION_SLACK, f"{gpu.uuid} is given out more than once"
            assert sum(m for _, m in parts.values()) <= gpu.memory_mib, f"{gpu.uuid} has not the memory"
