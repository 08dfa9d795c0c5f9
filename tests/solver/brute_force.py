"""The truth about small clusters, by trying everything: shares no code with the planner's search.

A node's claims are taken away in every combination, the small ones first, and every legal start of
every GPU is tried on what is left.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from itertools import combinations

from solver.model.cluster import Backing, Gpu, InstanceState, Node
from solver.model.demand import Demand, Fraction, Holding, Memory, MigProfile, Request, WholeGpus
from solver.model.geometry import GpuModel, Placement, Profile, legal
from solver.model.snapshot import Snapshot

Claims = frozenset[str]
PORTION_SLACK = 1e-9


def smallest_blocking_set(snapshot: Snapshot, request: Request) -> int | None:
    """How many claims at least must go before it has a place; None: not even if all of them went.

    Those told to stop already do not count.
    """
    firsts = (next(opening_sets(snapshot, node, request), None) for node in snapshot.nodes)
    return min((len(gone) for gone in firsts if gone is not None), default=None)


def fewest_moves(snapshot: Snapshot, request: Request, movable: Claims, most: int) -> int | None:
    """How many of `movable` at least must change places so that the request has one; None: more than `most`.

    For requests and holders of one device each, whatever node they are on.
    """
    held = {h.request.claim: h for h in snapshot.held}
    for count in range(most + 1):
        for moved in combinations(sorted(movable), count):
            homeless = [request, *(held[claim].request for claim in moved)]
            if _all_fit(snapshot, homeless, {c: h for c, h in held.items() if c not in moved}, []):
                return count
    return None


def _all_fit(
    snapshot: Snapshot, homeless: list[Request], stay: dict[str, Holding], given: list[tuple[str, Placement | float]]
) -> bool:
    if not homeless:
        return True
    first, *rest = homeless
    for gpu in snapshot.gpus:
        model = snapshot.models[gpu.model]
        here = [s for holding in stay.values() for s in holding.grant.devices if s.gpu == gpu.uuid]
        mine = [thing for uuid, thing in given if uuid == gpu.uuid]
        for _, profile in _ways(gpu, model, first.demand) if not gpu.fenced else ():
            if profile is None:
                assert isinstance(first.demand, Fraction)
                used = sum((s.portion for s in here), _foreign(gpu)) + sum(t for t in mine if isinstance(t, float))
                fits: list[Placement | float] = (
                    [first.demand.portion] if used + first.demand.portion <= 1 + 1e-6 else []
                )
            else:
                kept = [*_fixed(gpu), *(Placement(s.profile or "", s.start or 0) for s in here)]
                kept += [thing for thing in mine if isinstance(thing, Placement)]
                fits = [p for s in profile.starts if legal(model, (*kept, p := Placement(profile.name, s)))]
            if any(_all_fit(snapshot, rest, stay, [*given, (gpu.uuid, thing)]) for thing in fits):
                return True
    return False


def _foreign(gpu: Gpu) -> float:
    """The part that processes of no claim take, in whole millionths."""
    return math.ceil(gpu.foreign_mib / gpu.memory_mib * 1e6) / 1e6


def _fixed(gpu: Gpu) -> list[Placement]:
    not_ours = (InstanceState.FOREIGN, InstanceState.QUARANTINED)
    return [Placement(i.profile, i.start) for i in gpu.instances if i.state in not_ours]


def opening_sets(snapshot: Snapshot, node: Node, request: Request) -> Iterator[Claims]:
    """Sets of a node's claims whose going opens a place there, the smaller first; those told to stop are not named."""
    labels = all(node.labels.get(key) == value for key, value in request.node_selector.items())
    if not node.ready or node.name in request.excluded or not labels:
        return
    if request.pools and node.pool not in request.pools:
        return
    here = {h.request.claim: h for h in snapshot.held if h.grant.node == node.name}
    stopping = frozenset(claim for claim, holding in here.items() if holding.releasing)
    staying = sorted(set(here) - stopping)
    fits = [
        (
            set(_fitting_sets(gpu, snapshot.models[gpu.model], profile, request.demand, here)),
            key,
            _claims_on(gpu, here),
        )
        for gpu in snapshot.gpus
        if gpu.node == node.name and not gpu.fenced
        for key, profile in _ways(gpu, snapshot.models[gpu.model], request.demand)
    ]
    for count in range(len(staying) + 1):
        for chosen in combinations(staying, count):
            gone = stopping.union(chosen)
            if _host_has_room(node, request, here, gone) and _enough_gpus(fits, gone, request.demand.devices):
                yield frozenset(chosen)


def _enough_gpus(fits: Iterable[tuple[set[Claims], Hashable, Claims]], gone: Claims, devices: int) -> bool:
    able: defaultdict[Hashable, int] = defaultdict(int)
    for sets, key, claims in fits:
        able[key] += gone & claims in sets
    return max(able.values(), default=0) >= devices


def _host_has_room(node: Node, request: Request, here: dict[str, Holding], gone: Claims) -> bool:
    freed = [here[claim].request for claim in gone]
    stay = [holding.request for claim, holding in here.items() if claim not in gone]
    cpu = node.cpu_milli is None or request.cpu_milli <= node.cpu_milli + sum(r.cpu_milli for r in freed)
    memory = node.memory_mib is None or request.memory_mib <= node.memory_mib + sum(r.memory_mib for r in freed)
    alone = request.anti_affinity is None or all(r.anti_affinity != request.anti_affinity for r in stay)
    return cpu and memory and alone


def _claims_on(gpu: Gpu, here: dict[str, Holding]) -> Claims:
    return frozenset(c for c, holding in here.items() if any(s.gpu == gpu.uuid for s in holding.grant.devices))


def _ways(gpu: Gpu, model: GpuModel, demand: Demand) -> Iterator[tuple[Hashable, Profile | None]]:
    """Profiles (None: without MIG) that one device of this GPU can serve the ask with, with what must be alike."""
    if demand.model not in (None, gpu.model):
        return
    if not gpu.mig:
        if not isinstance(demand, MigProfile) and not (isinstance(demand, Memory) and demand.mib > gpu.memory_mib):
            yield None, None
        return
    able = [p for p in model.profiles if p.starts and _serves(p, model, demand)]
    for profile in able:
        if isinstance(demand, MigProfile) or profile.size == min(p.size for p in able):
            yield profile.name, profile


def _serves(profile: Profile, model: GpuModel, demand: Demand) -> bool:
    if isinstance(demand, MigProfile):
        return profile.name == demand.profile
    if profile.variant:
        return False
    if isinstance(demand, WholeGpus):
        return demand.devices == 1 and profile.slices == model.slices
    if isinstance(demand, Memory):
        return profile.memory_mib is not None and profile.memory_mib >= demand.mib
    assert isinstance(demand, Fraction)
    return profile.size >= demand.portion * model.units - 1e-6


def _fitting_sets(
    gpu: Gpu, model: GpuModel, profile: Profile | None, demand: Demand, here: dict[str, Holding]
) -> Iterator[Claims]:
    """Sets of the GPU's claims without which one device of the ask fits on it."""
    claims = sorted(_claims_on(gpu, here))
    for count in range(len(claims) + 1):
        for gone in map(frozenset, combinations(claims, count)):
            stay = [s for c in claims if c not in gone for s in here[c].grant.devices if s.gpu == gpu.uuid]
            if profile is None:
                portion = sum((1.0 if s.backing is Backing.WHOLE else s.portion for s in stay), _foreign(gpu))
                memory = sum((s.memory_mib for s in stay), gpu.foreign_mib)
                if _fits_without_mig(gpu, demand, portion, memory):
                    yield gone
                continue
            kept = [*_fixed(gpu), *(Placement(s.profile or "", s.start or 0) for s in stay)]
            if any(legal(model, (*kept, Placement(profile.name, start))) for start in profile.starts):
                yield gone


def _fits_without_mig(gpu: Gpu, demand: Demand, portion: float, memory: int) -> bool:
    if isinstance(demand, WholeGpus):
        return portion <= PORTION_SLACK and memory == 0
    assert isinstance(demand, Fraction | Memory)
    wanted = demand.portion if isinstance(demand, Fraction) else demand.mib / gpu.memory_mib
    mib = demand.mib if isinstance(demand, Memory) else math.floor(round(demand.portion * gpu.memory_mib, 6))
    return round((portion + wanted) * 1e6) <= 1_000_000 and memory + mib <= gpu.memory_mib
