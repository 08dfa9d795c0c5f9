"""A large cluster in the middle of a day, for benchmarks: seeded, of any size.

Five kinds of GPU in four node pools, eight to a node. Most are in MIG mode with random layouts, 45 % of
their instances busy and 25 % idle, a few foreign or quarantined; every tenth node has V100s that are
shared without MIG. A little more is asked for than there is room: profiles, memory, fractions and
whole GPUs, of two priorities and ten projects.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import MappingProxyType

from solver.gpu_tables.layouts import layouts_of
from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, Node, SharedPart
from solver.model.demand import Demand, DeviceShare, Fraction, Grant, Holding, Memory, MigProfile, Request, WholeGpus
from solver.model.geometry import GpuModel
from solver.model.snapshot import ProjectQueue, Quota, Snapshot

MIG_MODELS = ("a100-40gb", "a100-80gb", "h100-80gb", "a30", "h200-141gb")
POOLS = ("north", "east", "south", "west")
PROJECTS = tuple(f"team-{i}" for i in range(10))
GPUS_PER_NODE = 8
BUSY, IDLE, FOREIGN, QUARANTINED = 0.45, 0.25, 0.01, 0.005


def fleet(gpus: int, requests: int, seed: int = 1) -> Snapshot:
    """So many GPUs with so many pending requests."""
    rng = Random(seed)
    nodes, cards, held = list[Node](), list[Gpu](), list[Holding]()
    for number in range(-(-gpus // GPUS_PER_NODE)):
        node = Node(f"node-{number}", rng.choice(POOLS), MappingProxyType({"host": f"node-{number}"}))
        model = find("v100" if number % 10 == 9 else rng.choice(MIG_MODELS))
        nodes.append(node)
        for index in range(min(GPUS_PER_NODE, gpus - len(cards))):
            make = _mig if model.units else _plain
            cards.append(make(rng, f"GPU-{len(cards)}", node.name, index, model, held))
    models = {find(name).id: find(name) for name in (*MIG_MODELS, "v100")}
    return Snapshot(
        nodes=tuple(nodes),
        gpus=tuple(cards),
        models=MappingProxyType(models),
        pending=tuple(_request(rng, i) for i in range(requests)),
        held=tuple(held),
        projects=tuple(ProjectQueue(name, Quota(quota=gpus / 20)) for name in PROJECTS),
        now=10_000.0,
    )


def _mig(rng: Random, uuid: str, node: str, index: int, model: GpuModel, held: list[Holding]) -> Gpu:
    table = layouts_of(model)
    free, instances = table.all, list[Instance]()
    for slot in rng.sample(range(len(table.slots)), len(table.slots)):
        place = table.slots[slot]
        profile = model.profile(place.profile)
        if not free >> slot & 1 or profile is None or profile.variant:
            continue
        free &= ~table.excludes[slot]
        kind = rng.random()
        if kind < BUSY:
            claim = f"held-{len(held)}"
            share = DeviceShare(
                uuid,
                Backing.MIG,
                profile.slices / model.slices,
                profile.memory_mib or 0,
                place.profile,
                place.start,
                profile.size,
            )
            held.append(_holding(rng, claim, MigProfile(place.profile), Grant(node, (share,))))
            instances.append(
                Instance(place.profile, place.start, profile.size, InstanceState.BUSY, claim, f"MIG-{claim}")
            )
        elif kind < BUSY + IDLE + FOREIGN + QUARANTINED:
            other = InstanceState.FOREIGN if kind < BUSY + IDLE + FOREIGN else InstanceState.QUARANTINED
            state = InstanceState.IDLE if kind < BUSY + IDLE else other
            instances.append(Instance(place.profile, place.start, profile.size, state))
    return Gpu(uuid, node, index, model.id, model.memory_mib, True, tuple(instances))


def _plain(rng: Random, uuid: str, node: str, index: int, model: GpuModel, held: list[Holding]) -> Gpu:
    parts: list[SharedPart] = []
    for portion in rng.choice([(), (), (1.0,), (0.5,), (0.25, 0.25), (0.5, 0.3)]):
        claim, mib = f"held-{len(held)}", int(portion * model.memory_mib)
        backing = Backing.WHOLE if portion == 1.0 else Backing.SOFTWARE
        demand: Demand = WholeGpus() if portion == 1.0 else Fraction(portion)
        held.append(_holding(rng, claim, demand, Grant(node, (DeviceShare(uuid, backing, portion, mib),))))
        if portion == 1.0:
            return Gpu(uuid, node, index, model.id, model.memory_mib, held_by=claim)
        parts.append(SharedPart(claim, portion, mib))
    return Gpu(uuid, node, index, model.id, model.memory_mib, parts=tuple(parts))


def _holding(rng: Random, claim: str, demand: Demand, grant: Grant) -> Holding:
    return Holding(Request(claim, claim, rng.choice(PROJECTS), demand, created=rng.random()), grant, since=rng.random())


def _request(rng: Random, number: int) -> Request:
    priority = rng.choice([50, 50, 50, 75])
    pools: Sequence[str] = (rng.choice(POOLS),) if rng.random() < 0.3 else ()
    demand, name = _ask(rng), f"claim-{number}"
    return Request(name, name, rng.choice(PROJECTS), demand, priority, created=rng.random() * 1000, pools=tuple(pools))


def _ask(rng: Random) -> Demand:
    kind = rng.random()
    if kind < 0.5:
        model = find(rng.choice(MIG_MODELS))
        profiles = [p for p in model.profiles if p.starts and not p.variant]
        return MigProfile(rng.choices(profiles, [1 / p.size for p in profiles])[0].name)
    if kind < 0.7:
        return Memory(rng.choice([4769, 9537, 14_306, 19_074, 38_147]))
    if kind < 0.98:
        return Fraction(rng.choice([0.1, 0.2, 0.25, 0.25, 0.5]))
    return WholeGpus()
