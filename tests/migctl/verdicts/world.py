"""A random cluster in memory: real store, admission, workload controller and controller, under a clock of its own.

What an agent does is done at once and when told to: claims that hold something run, claims that are stopped leave
and their instances stay behind idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from migctl.admission import ranked
from migctl.api.admitting import AdmittingControlPlane
from migctl.backends.mirror import Mirror
from migctl.controller.loop import Controller
from migctl.controller.observe import Observer
from migctl.embedded.kubelet.workloads import WorkloadController
from migctl.objects import (
    Claim,
    Department,
    DepartmentSpec,
    GangSpec,
    GpuNode,
    GpuRequest,
    Meta,
    NodePool,
    NodePoolSpec,
    NodeSpec,
    NodeStatus,
    Phase,
    PoolQuota,
    Project,
    ProjectSpec,
    Workload,
    WorkloadSpec,
    WorkloadType,
    to_builtins,
)
from migctl.solver_process.planning import KeptPlanner
from migctl.verdicts.live import Verdicts
from nodeagent.contract.allocation import NodeReport
from solver import planner
from solver.model.catalog import find
from solver.model.cluster import Gpu, Instance, InstanceState
from solver.model.occupation import occupied, vacated
from solver.model.plan import Plan
from solver.model.snapshot import MemoryRule, Policy, Snapshot, Spreading
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.solver.in_process import InProcessSolver

PROJECTS = ("team-a", "team-b", "team-c", "team-d")
POOLS = ("default", "blue")
MODELS = ("a100-40gb", "a100-40gb", "h100-80gb", "a30", "v100", "v100")


def plan(state: Snapshot, policy: Policy | None = None) -> Plan:
    """The production planner, whose exact solver is in this process."""
    return planner.plan(state, policy, InProcessSolver())


class RandomWorld:
    """One cluster. `rng` decides what it is and what happens."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.clock, self.submitted = rng, ManualClock(), 0
        self.store = MemoryControlPlane(self.clock)
        self.door = AdmittingControlPlane(self.store)
        self.mirror = Mirror(self.store)
        policy = Policy(evictions=rng.choice([2, 64]), reserve_after_s=rng.choice([30.0, 600.0]), tries=20)
        self.controller = Controller(self.store, self.mirror, self.clock, plan, policy)
        self.applier = self.controller.applier()
        self.workloads = WorkloadController(self.store, self.mirror, self.clock)
        self.verdicts = Verdicts(self.mirror, self.clock, KeptPlanner(InProcessSolver()), Observer(self.mirror), policy)
        self.gpus: dict[str, Gpu] = {}

    async def begin(self) -> None:
        """Make nodes and queues."""
        rng = self.rng
        if rng.random() < 0.5:
            spec = NodePoolSpec(placement=rng.choice(list(Spreading)), memory_rule=rng.choice(list(MemoryRule)))
            await self.store.create(NodePool(meta=Meta(name="blue"), spec=spec))
        for number in range(rng.randint(1, 4)):
            await self._node(f"node-{number}")
        await self.store.create(
            Department(meta=Meta(name="science"), spec=DepartmentSpec(quota=rng.choice([None, 3.0])))
        )
        for name in PROJECTS:
            quota = rng.choice([0.0, 1.0, 2.0, -1.0])
            queue = ProjectSpec(
                quota=quota,
                limit=rng.choice([-1.0, -1.0, max(quota, 2.0)]) if quota >= 0 else -1.0,
                department=rng.choice([None, "science"]),
                min_runtime_s=rng.choice([0.0, 0.0, 60.0]),
                pools={"blue": PoolQuota(quota=1.0)} if rng.random() < 0.2 else {},
            )
            await self.store.create(Project(meta=Meta(name=name), spec=queue))
        await self.see()

    async def _node(self, name: str) -> None:
        rng = self.rng
        cards = [self._gpu(name, index) for index in range(rng.randint(1, 4))]
        self.gpus |= {card.uuid: card for card in cards}
        spec = NodeSpec(pool=rng.choice(POOLS), cordoned=rng.random() < 0.05)
        labels = {"rack": rng.choice("ab")}
        await self.store.create(GpuNode(meta=Meta(name=name, labels=labels), spec=spec, status=self._status(name)))

    def _gpu(self, node: str, index: int) -> Gpu:
        rng = self.rng
        model = find(rng.choice(MODELS))
        mig = bool(model.units) and rng.random() < 0.85
        smallest = next((profile for profile in model.profiles if profile.size == 1), None)
        foreign = (
            [Instance(smallest.name, 0, 1, InstanceState.FOREIGN)] if mig and smallest and rng.random() < 0.1 else []
        )
        fenced = "fell off the bus" if rng.random() < 0.04 else ""
        return Gpu(f"GPU-{node}-{index}", node, index, model.id, model.memory_mib, mig, tuple(foreign), fenced=fenced)

    def _status(self, node: str) -> NodeStatus:
        cards = tuple(gpu for gpu in self.gpus.values() if gpu.node == node)
        models: Mapping[str, object] = MappingProxyType({gpu.model: find(gpu.model) for gpu in cards})
        return NodeStatus(report=NodeReport(node, "boot", 1, cards, models), ready=True)  # type: ignore[arg-type]

    async def see(self) -> None:
        """Let the mirror have all that is stored, and the workload controller make the claims that are missing."""
        await self.mirror.read()
        await self.workloads.reconcile()
        await self.mirror.read()

    async def decide(self) -> Plan | None:
        """One cycle of the controller."""
        made = await self.controller.cycle(self.applier)
        await self.mirror.read()
        return made

    async def work(self, leave: float = 0.8) -> None:
        """The agents: those told to stop leave (not all of them at once), those that have their share run."""
        changed = set()
        for claim in (await self.store.list(Claim)).items:
            grant = claim.status.allocation
            if claim.meta.deleting is not None and self.rng.random() < leave:
                for share in grant.devices if grant else ():
                    self.gpus[share.gpu] = vacated(self.gpus[share.gpu], claim.meta.uid)
                    changed.add(grant.node if grant else "")
                await self.store.patch(claim, {"meta": {"finalizers": []}})
            elif grant is not None and claim.status.phase is Phase.PENDING and claim.meta.deleting is None:
                for share in grant.devices:
                    self.gpus[share.gpu] = occupied(self.gpus[share.gpu], claim.meta.uid, share)
                changed.add(grant.node)
                await self.store.patch(claim, {"status": {"phase": Phase.RUNNING}})
        for name in changed:
            node = await self.store.get(GpuNode, name)
            await self.store.patch(node, {"status": to_builtins(self._status(name))})
        await self.see()

    async def end_some(self) -> None:
        """Some workloads are deleted; now and then a waiting pod backs off."""
        rng = self.rng
        for workload in (await self.store.list(Workload)).items:
            if workload.meta.deleting is None and rng.random() < 0.08:
                await self.door.delete(workload)
        for claim in (await self.store.list(Claim)).items:
            if claim.status.allocation is None and claim.meta.deleting is None and rng.random() < 0.03:
                later = self.clock().timestamp() + 60
                at = type(self.clock()).fromtimestamp(later, self.clock().tzinfo)
                await self.store.patch(claim, {"status": {"retryAt": to_builtins(at)}})
        await self.see()

    def workload(self) -> Workload:
        """Something that somebody could submit."""
        rng, self.submitted = self.rng, self.submitted + 1
        type_ = rng.choices(list(WorkloadType), weights=[5, 2, 1, 2])[0]
        pods = rng.randint(2, 4) if type_ is WorkloadType.DISTRIBUTED else rng.choice([1, 1, 1, 2, 3])
        gang = None
        if type_ is WorkloadType.DISTRIBUTED:
            domain = rng.choice([None, None, "rack"])
            gang = GangSpec(size=rng.choice([pods, rng.randint(2, pods)]), domain=domain, required=rng.random() < 0.5)
        spec = WorkloadSpec(
            type=type_,
            gpu_request=self._request(),
            preemptible=rng.random() < 0.7,
            movable=rng.random() < 0.85,
            parallelism=1 if type_ is WorkloadType.WORKSPACE else pods,
            pools=rng.choice([(), (), (), POOLS, ("blue",)]),
            gang=gang,
            user=rng.choice(["ada", "bob"]),
        )
        meta = Meta(name=f"w{self.submitted}", project=rng.choice([*PROJECTS] * 6 + ["nobody"]))
        return Workload(meta=meta, spec=ranked(spec))

    def _request(self) -> GpuRequest:
        rng = self.rng
        models = sorted({gpu.model for gpu in self.gpus.values()})
        profiles = sorted({profile.name for model in models for profile in find(model).profiles})
        devices, model = rng.choice([1, 1, 1, 1, 2]), rng.choice([None, None, None, rng.choice(models)])
        if rng.random() < 0.02:
            model, profiles = "none-such", [*profiles, "9g.90gb"]
        return rng.choice(
            [
                GpuRequest(devices=rng.choice([1, 1, 2, 4]), model=model),
                GpuRequest(fraction=rng.choice([0.1, 0.25, 0.5, 0.75]), devices=devices, model=model),
                GpuRequest(memory_mib=rng.choice([4769, 9537, 18000]), devices=devices, model=model),
                GpuRequest(profile=rng.choice(profiles or ["1g.5gb"]), devices=devices),
            ]
        )
