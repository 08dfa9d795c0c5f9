"""How long decisions of a large cluster take, in the planner alone: `python -m tests.bench.quota`.

One BENCH line each, the median of several runs. The scenes are those of published scale tests of
other schedulers: 500 nodes of 8 GPUs, single-GPU jobs, one job that takes half of the cluster, a
gang on 512 nodes in racks, 41 jobs of 10 pods that fit only if one job per node moves.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from types import MappingProxyType

from migctl.solver_process.planning import plan
from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Node
from solver.model.demand import DeviceShare, Gang, Grant, Holding, Request, WholeGpus
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Policy, ProjectQueue, Quota, Snapshot

MODEL = find("v100")
NODES, EACH = 500, 8
RACK = "topology.migctl.dev/rack"


def fleet(nodes: int = NODES, racks: int = 1) -> tuple[tuple[Node, ...], tuple[Gpu, ...]]:
    """Nodes of eight GPUs, `racks` labels among them."""
    hosts = tuple(Node(f"n{n:03}", labels=MappingProxyType({RACK: f"r{n * racks // nodes:03}"})) for n in range(nodes))
    cards = (Gpu(f"{host.name}-{i}", host.name, i, MODEL.id, MODEL.memory_mib) for host in hosts for i in range(EACH))
    return hosts, tuple(cards)


def wish(claim: str, project: str, gpus: int = 1, gang: Gang | None = None, created: float = 0.0) -> Request:
    return Request(claim, claim, project, WholeGpus(gpus), gang=gang, created=created, workload=claim)


def holding(claim: str, project: str, card: Gpu, since: float) -> Holding:
    share = DeviceShare(card.uuid, Backing.WHOLE, 1.0, card.memory_mib)
    return Holding(wish(claim, project), Grant(card.node, (share,)), since)


def snapshot(
    nodes: tuple[Node, ...],
    gpus: tuple[Gpu, ...],
    projects: Iterable[ProjectQueue],
    pending: Iterable[Request],
    held: Iterable[Holding] = (),
) -> Snapshot:
    models = MappingProxyType({MODEL.id: MODEL})
    return Snapshot(nodes, gpus, models, tuple(pending), tuple(held), tuple(projects), now=1e6)


def cycle() -> Snapshot:
    """A full cluster of 20 projects, and 50 more jobs of each."""
    nodes, gpus = fleet()
    projects = [ProjectQueue(f"p{i:02}", Quota(float(150 + 10 * i)), created=i) for i in range(20)]
    held = (holding(f"h{i}", f"p{i % 20:02}", card, i) for i, card in enumerate(gpus))
    pending = (wish(f"w{i}", f"p{i % 20:02}", created=i) for i in range(1000))
    return snapshot(nodes, gpus, projects, pending, held)


def fill() -> Snapshot:
    """An empty cluster and a job for each of its GPUs."""
    nodes, gpus = fleet()
    return snapshot(
        nodes, gpus, [ProjectQueue("p", Quota(0.0))], (wish(f"w{i}", "p", created=i) for i in range(len(gpus)))
    )


def reclaim() -> Snapshot:
    """A cluster full of one project's single-GPU jobs, and another's job of half of the cluster."""
    nodes, gpus = fleet()
    projects = [ProjectQueue("full", Quota(0.0)), ProjectQueue("due", Quota(2000.0))]
    gang = Gang("large", NODES // 2)
    pending = (wish(f"w{i}", "due", EACH, gang) for i in range(NODES // 2))
    return snapshot(nodes, gpus, projects, pending, (holding(f"h{i}", "full", c, i) for i, c in enumerate(gpus)))


def gang() -> Snapshot:
    """A gang of 512 pods of 2 GPUs, best in one rack, on 512 nodes in 8 racks."""
    nodes, gpus = fleet(512, racks=8)
    large = Gang("large", 512, RACK, domain_required=False)
    return snapshot(nodes, gpus, [ProjectQueue("p", Quota(0.0))], (wish(f"w{i}", "p", 2, large) for i in range(512)))


def consolidate() -> Snapshot:
    """Three single-GPU jobs on every node, and 41 gangs of 10 pods that need 6 GPUs of a node each."""
    nodes, gpus = fleet()
    held = (holding(f"h{i}", "small", card, i) for i, card in enumerate(gpus) if card.index < 3)
    pending = (
        wish(f"w{job}-{pod}", "large", 6, Gang(f"g{job}", 10), created=job) for job in range(41) for pod in range(10)
    )
    projects = [ProjectQueue("small", Quota(1500.0)), ProjectQueue("large", Quota(0.0))]
    return snapshot(nodes, gpus, projects, pending, held)


def measured(scene: Snapshot, runs: int = 3) -> tuple[float, Plan]:
    """Seconds of the median run, and the plan."""
    times, made = [], Plan()
    for _ in range(runs):
        gc.collect()
        started = time.perf_counter()
        made = plan(scene, Policy(evictions=4000))
        times.append(time.perf_counter() - started)
    return statistics.median(times), made


def counts(made: Plan) -> str:
    placed = sum(isinstance(outcome, Placed) for outcome in made.outcomes.values())
    stopped = {step.claim for step in made.steps if isinstance(step, Evict)}
    moved = sum(isinstance(step, Assign) and step.claim in stopped for step in made.steps)
    return f"placed={placed} evicted={len(stopped) - moved} moved={moved}"


SCENES: dict[str, tuple[Callable[[], Snapshot], str, float, str]] = {
    "cycle": (cycle, "nodes=500 gpus=4000 running=4000 pending=1000", 1000.0, "ms"),
    "fill": (fill, "nodes=500 jobs=4000", 1.0, "s"),
    "reclaim": (reclaim, "gpus=2000", 1.0, "s"),
    "gang": (gang, "pods=512", 1.0, "s"),
    "consolidate": (consolidate, "jobs=41 pods=410", 1.0, "s"),
}


def main() -> None:
    for name, (scene, words, scale, unit) in SCENES.items():
        seconds, made = measured(scene())
        print(f"BENCH {name} {words} {unit}={seconds * scale:.{0 if unit == 'ms' else 2}f} {counts(made)}", flush=True)


if __name__ == "__main__":
    main()
