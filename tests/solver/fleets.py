"""Random clusters of any size, from an injected source of randomness."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import MappingProxyType

from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, Node, SharedPart
from solver.model.demand import (
    Demand,
    DeviceShare,
    Fraction,
    Gang,
    Grant,
    Holding,
    Memory,
    MigProfile,
    Request,
    WholeGpus,
)
from solver.model.geometry import GpuModel, Placement, legal, placements
from solver.model.snapshot import ProjectQueue, Quota, Snapshot

SMALL_MODELS = ("a30", "a100-40gb", "h100-80gb", "rtx-pro-6000-bse", "v100")
POOLS = ("blue", "green")


def random_snapshot(rng: Random, gpus: int, pending: int, models: Sequence[str] = SMALL_MODELS) -> Snapshot:
    """Nodes of one to four GPUs, each with idle, busy, foreign and quarantined work, and requests of all kinds."""
    nodes: list[Node] = []
    cards: list[Gpu] = []
    held: list[Holding] = []
    while len(cards) < gpus:
        model = find(rng.choice(models))
        node = Node(
            f"n{len(nodes)}",
            rng.choice(POOLS),
            MappingProxyType({"rack": rng.choice("ab")}),
            cpu_milli=rng.choice([None, 4000]),
            ready=rng.random() > 0.05,
        )
        nodes.append(node)
        for index in range(min(rng.randint(1, 4), gpus - len(cards))):
            card, work = _card(rng, f"g{len(cards)}", node.name, index, model, len(held))
            cards.append(card)
            held.extend(work)
    names = [gpu.model for gpu in cards]
    return Snapshot(
        nodes=tuple(nodes),
        gpus=tuple(cards),
        models=MappingProxyType({name: find(name) for name in names}),
        pending=tuple(_request(rng, i, [find(name) for name in sorted(set(names))]) for i in range(pending)),
        held=tuple(held),
        projects=(
            ProjectQueue("team-a", Quota(quota=-1.0)),
            ProjectQueue("team-b", Quota(quota=rng.choice([0.5, 2.0]), limit=rng.choice([-1.0, 3.0]))),
        ),
        now=1000.0,
    )


def _card(rng: Random, uuid: str, node: str, index: int, model: GpuModel, first: int) -> tuple[Gpu, list[Holding]]:
    mig = bool(model.units) and rng.random() < 0.9
    blank = Gpu(uuid, node, index, model.id, model.memory_mib, mig, fenced="broken" if rng.random() < 0.03 else "")
    if mig:
        return _instances(rng, blank, model, first)
    held, left = [], 1.0
    for number in range(rng.randint(0, 3)):
        portion = rng.choice([0.1, 0.25, 0.3, 0.5])
        if portion <= left:
            left -= portion
            share = DeviceShare(uuid, Backing.SOFTWARE, portion, int(portion * model.memory_mib))
            held.append(_holding(rng, f"h{first + number}", Fraction(portion), Grant(node, (share,))))
    foreign = rng.choice([0, 0, 0, int(left * model.memory_mib)]) if left > 0.05 else 0
    parts = tuple(SharedPart(h.request.claim, h.grant.devices[0].portion, h.grant.devices[0].memory_mib) for h in held)
    return Gpu(uuid, node, index, model.id, model.memory_mib, parts=parts, foreign_mib=foreign), held


def _instances(rng: Random, blank: Gpu, model: GpuModel, first: int) -> tuple[Gpu, list[Holding]]:
    layout: list[Placement] = []
    instances: list[Instance] = []
    held: list[Holding] = []
    options = list(placements(model))
    rng.shuffle(options)
    for place in options[: rng.randint(0, 12)]:
        if not legal(model, (*layout, place)):
            continue
        layout.append(place)
        profile = model.profile(place.profile)
        assert profile is not None
        state = rng.choice(["busy", "busy", "busy", "idle", "idle", "foreign", "quarantined"])
        claim = f"h{first + len(held)}" if state == "busy" else None
        instances.append(Instance(place.profile, place.start, profile.size, InstanceState(state), claim))
        if claim:
            portion, usable = profile.slices / model.slices, profile.memory_mib or 0
            share = DeviceShare(blank.uuid, Backing.MIG, portion, usable, place.profile, place.start, profile.size)
            held.append(_holding(rng, claim, MigProfile(place.profile), Grant(blank.node, (share,))))
    card = Gpu(blank.uuid, blank.node, blank.index, blank.model, blank.memory_mib, True, tuple(instances))
    return card, held


def _holding(rng: Random, claim: str, demand: Demand, grant: Grant) -> Holding:
    priority = rng.choice([50, 50, 75, 100])
    request = Request(
        claim,
        claim,
        rng.choice(["team-a", "team-b"]),
        demand,
        priority,
        preemptible=priority < 100,
        created=rng.random(),
    )
    return Holding(request, grant, rng.random(), rng.random() < 0.1, "a budget" if rng.random() < 0.1 else "")


def _request(rng: Random, number: int, models: Sequence[GpuModel]) -> Request:
    priority = rng.choice([50, 50, 75, 100, 125])
    demand = _ask(rng, models)
    return Request(
        f"p{number}",
        f"p{number}",
        "team-a" if isinstance(demand, Fraction | Memory) else rng.choice(["team-a", "team-a", "team-b"]),
        demand,
        priority,
        preemptible=priority < 100,
        created=rng.random(),
        pools=rng.choice([(), (), POOLS, POOLS[:1], POOLS[1:]]),
        node_selector=MappingProxyType(rng.choice([{}, {}, {}, {"rack": "a"}])),
        excluded=frozenset(rng.choice([(), (), (), ("n0",)])),
        anti_affinity=rng.choice([None, None, None, "k"]),
        cpu_milli=rng.choice([0, 0, 500, 1500]),
        gang=Gang("g", 2, "rack") if rng.random() < 0.1 else None,
    )


def _ask(rng: Random, models: Sequence[GpuModel]) -> Demand:
    profiles = [p.name for m in models for p in m.profiles if p.starts] or ["1g.5gb"]
    devices = rng.choice([1, 1, 1, 1, 2])
    model = rng.choice([None, None, None, None, *(m.id for m in models)])
    kind = rng.randrange(4)
    if kind == 0:
        return MigProfile(rng.choice(profiles), devices, model)
    if kind == 1:
        return Fraction(rng.choice([0.1, 0.2, 0.25, 0.5, 0.75]), devices, model)
    if kind == 2:
        return Memory(rng.choice([4769, 9537, 16000, 20000]), devices, model)
    return WholeGpus(devices, model)
