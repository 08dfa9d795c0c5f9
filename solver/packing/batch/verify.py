"""Plays a batch's steps on the snapshot before anybody else sees them: a plan with a flaw is not given out.

Shares nothing with the code that made the plan. Steps are played in their order.
"""

from __future__ import annotations

from collections import defaultdict

from solver.model.cluster import Backing, Gpu, InstanceState
from solver.model.demand import DeviceShare, Request
from solver.model.geometry import GpuModel, Placement, legal
from solver.model.plan import Assign, Create, Destroy, Evict, Plan
from solver.model.snapshot import Snapshot

ROUNDING = 1e-6


class Card:
    """One GPU while the steps are played: who holds which placement, None where an instance is idle."""

    def __init__(self, gpu: Gpu, model: GpuModel) -> None:
        self.gpu, self.model = gpu, model
        self.holders = {
            Placement(i.profile, i.start): None if i.state is InstanceState.IDLE else (i.claim or i.state.value)
            for i in gpu.instances
        }
        self.parts = {part.claim: (part.portion, part.memory_mib) for part in gpu.parts}
        self.whole = gpu.held_by

    def release(self, claim: str) -> None:
        self.holders = {place: None if holder == claim else holder for place, holder in self.holders.items()}
        self.parts.pop(claim, None)
        self.whole = None if self.whole == claim else self.whole

    def destroy(self, place: Placement) -> str:
        if place not in self.holders or self.holders[place] is not None:
            return f"{place} on {self.gpu.uuid} is not idle"
        del self.holders[place]
        return ""

    def create(self, place: Placement) -> str:
        self.holders[place] = None
        return "" if legal(self.model, self.holders) else f"{place} on {self.gpu.uuid} has no room"

    def give(self, claim: str, share: DeviceShare) -> str:
        if self.gpu.fenced or self.whole:
            return f"{self.gpu.uuid} is fenced or held whole"
        if share.backing is Backing.MIG:
            place = Placement(share.profile or "", share.start or 0)
            if place not in self.holders or self.holders[place] is not None:
                return f"{place} on {self.gpu.uuid} is not free"
            self.holders[place] = claim
            return ""
        if self.gpu.mig or (share.backing is Backing.WHOLE and self.parts):
            return f"{self.gpu.uuid} cannot be given as {share.backing}"
        if share.backing is Backing.WHOLE:
            self.whole = claim
            return ""
        self.parts[claim] = (share.portion, share.memory_mib)
        portion = sum(part[0] for part in self.parts.values())
        memory = sum(part[1] for part in self.parts.values())
        over = portion > 1 + ROUNDING or memory > self.gpu.memory_mib
        return f"{self.gpu.uuid} is shared out beyond its size" if over else ""


def flaw(snapshot: Snapshot, plan: Plan) -> str:
    """The first thing that is wrong with the plan, "" for a sound one."""
    cards = {gpu.uuid: Card(gpu, snapshot.models[gpu.model]) for gpu in snapshot.gpus}
    grants = {h.request.claim: h.grant for h in snapshot.held}
    wishes = {r.claim: r for r in (*snapshot.pending, *(h.request for h in snapshot.held))}
    taken = defaultdict[str, list[Request]](list)
    for step in plan.steps:
        if isinstance(step, Evict):
            for share in grants[step.claim].devices:
                cards[share.gpu].release(step.claim)
        elif isinstance(step, Destroy):
            if wrong := cards[step.gpu].destroy(Placement(step.profile, step.start)):
                return wrong
        elif isinstance(step, Create):
            if wrong := cards[step.gpu].create(Placement(step.profile, step.start)):
                return wrong
        elif isinstance(step, Assign):
            taken[step.grant.node].append(wishes[step.claim])
            for share in step.grant.devices:
                if wrong := cards[share.gpu].give(step.claim, share):
                    return wrong
    return _overbooked(snapshot, taken)


def _overbooked(snapshot: Snapshot, taken: dict[str, list[Request]]) -> str:
    """A node that was given more work than its free CPU and memory carry. What victims return is not counted on."""
    for node in snapshot.nodes:
        here = taken.get(node.name, [])
        if node.cpu_milli is not None and sum(r.cpu_milli for r in here) > max(node.cpu_milli, 0):
            return f"node {node.name} has too little CPU"
        if node.memory_mib is not None and sum(r.memory_mib for r in here) > max(node.memory_mib, 0):
            return f"node {node.name} has too little memory"
    return ""
