"""The node's devices, as allocations, ResourceSlices and the kubelet name them: GPUs, instances, shared GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import device_name
from solver.model.cluster import Backing, Gpu, Instance, InstanceState
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel


@dataclass(frozen=True, slots=True)
class NodeDevice:
    """One device.

    kind      gpu, mig or share
    instance  None but for MIG
    problem   why it is unhealthy, "" where it is healthy
    """

    name: str
    kind: str
    gpu: Gpu
    memory_mib: int
    instance: Instance | None = None
    problem: str = ""


def devices(report: NodeReport) -> Iterator[NodeDevice]:
    """Every device of a node."""
    for gpu in report.gpus:
        yield from _of(gpu, report.models[gpu.model])


def _of(gpu: Gpu, model: GpuModel) -> Iterator[NodeDevice]:
    whole = DeviceShare(gpu.uuid, Backing.WHOLE, 1.0, gpu.memory_mib)
    yield NodeDevice(device_name(gpu.index, whole), "gpu", gpu, gpu.memory_mib, problem=gpu.fenced)
    for instance in gpu.instances:
        share = DeviceShare(gpu.uuid, Backing.MIG, 0, 0, instance.profile, instance.start, instance.size)
        profile = model.profile(instance.profile)
        memory = (profile.memory_mib if profile else None) or 0
        yield NodeDevice(device_name(gpu.index, share), "mig", gpu, memory, instance, gpu.fenced or _problem(instance))
    if gpu.parts:
        share = DeviceShare(gpu.uuid, Backing.SOFTWARE, 0, 0)
        memory = sum(part.memory_mib for part in gpu.parts)
        yield NodeDevice(device_name(gpu.index, share), "share", gpu, memory, problem=gpu.fenced)


def _problem(instance: Instance) -> str:
    if instance.state is InstanceState.QUARANTINED:
        return "the driver says it is in use, and no process is found"
    return "" if instance.uuid else "the instance no longer exists"
