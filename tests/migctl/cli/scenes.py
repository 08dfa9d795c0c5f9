"""Small clusters for tests of what is shown: nodes, workloads and the shares they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from migctl.backends.protocol import ControlPlane
from migctl.objects import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    Event,
    EventSpec,
    GpuNode,
    GpuRequest,
    Meta,
    NodeStatus,
    Phase,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    WorkloadType,
)
from nodeagent.contract.allocation import GpuProcess, NodeReport
from solver.model import catalog
from solver.model.cluster import Backing, Gpu, Instance
from solver.model.demand import DeviceShare, Grant

A100 = "A100-40GB"
V100 = "V100"


def gpu(node: str, index: int, model: str, instances: tuple[Instance, ...] = (), fenced: str = "") -> Gpu:
    known = catalog.find(model)
    return Gpu(
        uuid=f"GPU-{node}-{index}",
        node=node,
        index=index,
        model=known.id,
        memory_mib=known.memory_mib,
        mig=bool(known.units),
        instances=instances,
        fenced=fenced,
    )


def node(
    name: str,
    *gpus: Gpu,
    ready: bool = True,
    processes: Mapping[str | None, int] | None = None,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> GpuNode:
    """A node with these GPUs. processes: MiB in use on the first GPU, by claim (None: nobody's)."""
    models = {gpu.model: catalog.find(gpu.model) for gpu in gpus}
    seen = tuple(GpuProcess(gpus[0].uuid, 100, mib, claim) for claim, mib in (processes or {}).items())
    report = NodeReport(
        name, "boot-1", 1, gpus, MappingProxyType(models), driver="580.10", simulated=True, processes=seen, notes=notes
    )
    return GpuNode(meta=Meta(name=name), status=NodeStatus(report=report, ready=ready))


def mig_share(gpu: Gpu, profile: str, start: int) -> DeviceShare:
    model = catalog.find(gpu.model)
    known = model.profile(profile)
    assert known is not None
    portion = known.slices / model.slices
    return DeviceShare(gpu.uuid, Backing.MIG, portion, known.memory_mib or 0, profile, start, known.size)


def software_share(gpu: Gpu, portion: float) -> DeviceShare:
    return DeviceShare(gpu.uuid, Backing.SOFTWARE, portion, int(portion * gpu.memory_mib))


def whole(gpu: Gpu) -> DeviceShare:
    return DeviceShare(gpu.uuid, Backing.WHOLE, 1.0, gpu.memory_mib)


@dataclass(frozen=True)
class Placed:
    """Where the pods of a workload are; `rounded` as the planner tells it."""

    node: str
    shares: tuple[DeviceShare, ...]
    rounded: str = ""


async def workload(
    cluster: ControlPlane,
    name: str,
    gpu_request: GpuRequest,
    placed: Placed | None = None,
    *,
    project: str = "team-a",
    type: WorkloadType = WorkloadType.TRAINING,
    phase: Phase | None = None,
    reason: str = "",
    message: str = "",
    labels: dict[str, str] | None = None,
    preemptible: bool = True,
    movable: bool = True,
) -> Workload:
    """Store a workload with one pod, as the controller would leave it."""
    spec = WorkloadSpec(
        type=type, gpu_request=gpu_request, image="ubuntu", user="ada", preemptible=preemptible, movable=movable
    )
    shown = phase or (Phase.RUNNING if placed else Phase.PENDING)
    status = WorkloadStatus(
        phase=shown,
        reason=reason,
        message=message,
        running=int(shown is Phase.RUNNING),
        pending=int(shown is Phase.PENDING),
    )
    made = await cluster.create(
        Workload(meta=Meta(name=name, project=project, labels=labels or {}), spec=spec, status=status)
    )
    if shown in (Phase.SUSPENDED, Phase.COMPLETED):
        return made
    grant = Grant(placed.node, placed.shares) if placed else None
    await cluster.create(
        Claim(
            meta=Meta(name=f"{name}-0", project=project),
            spec=ClaimSpec(
                workload=name,
                workload_uid=made.meta.uid,
                gpu_request=gpu_request,
                preemptible=preemptible,
                movable=movable,
            ),
            status=ClaimStatus(
                phase=shown,
                allocation=grant,
                reason=reason,
                message=message,
                rounded=placed.rounded if placed else "",
            ),
        )
    )
    return made


async def event(
    cluster: ControlPlane, about: str, reason: str, message: str, warning: bool = False, project: str = "team-a"
) -> Event:
    name = f"event-{reason.lower()}"
    spec = EventSpec(about=about, reason=reason, message=message, warning=warning)
    return await cluster.create(Event(meta=Meta(name=name, project=project), spec=spec))
