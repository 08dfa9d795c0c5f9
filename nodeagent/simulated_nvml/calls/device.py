"""nvmlDeviceGet...: identity, memory, processes and the readings people look at."""

from __future__ import annotations

from typing import Any

from nodeagent.contract.units import MIB
from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.gpu_models import MODEL_FACTS, architecture
from nodeagent.simulated_nvml.handles import GpuDevice, MigDevice, fill, put, text, value
from nodeagent.simulated_nvml.hardware import JsonRecord, NvmlReturn, Refused
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call
from solver.model.catalog import models

_NO_ID = 0xFFFFFFFF


@call("nvmlDeviceGetCount_v2")
def count(machine: LoadedLibrary, out: Any) -> None:
    put(out, len(machine.gpus()))


@call("nvmlDeviceGetHandleByIndex_v2")
def by_index(machine: LoadedLibrary, index: Any, out: Any) -> None:
    gpus = machine.gpus()
    if value(index) >= len(gpus):
        raise Refused(NvmlReturn.INVALID_ARGUMENT)
    machine.handles.give(GpuDevice(gpus[value(index)][1]["uuid"]), out)


@call("nvmlDeviceGetHandleByUUID")
def by_uuid(machine: LoadedLibrary, uuid: Any, out: Any) -> None:
    wanted = value(uuid).decode()
    for _, gpu in machine.gpus():
        if gpu["uuid"] == wanted:
            return machine.handles.give(GpuDevice(wanted), out)
        for mig in machine.mig_devices(gpu):
            if mig.uuid == wanted:
                return machine.handles.give(mig, out)
    raise Refused(NvmlReturn.NOT_FOUND)


@call("nvmlDeviceGetHandleByPciBusId_v2")
def by_bus_id(machine: LoadedLibrary, bus_id: Any, out: Any) -> None:
    for _, gpu in machine.gpus():
        if _bus_id(gpu) == value(bus_id).decode():
            return machine.handles.give(GpuDevice(gpu["uuid"]), out)
    raise Refused(NvmlReturn.NOT_FOUND)


@call("nvmlDeviceGetUUID")
def uuid(machine: LoadedLibrary, handle: Any, buffer: Any, size: Any) -> None:
    target = machine.device(handle)
    text(buffer, size, target.uuid if isinstance(target, MigDevice) else target.gpu)


@call("nvmlDeviceGetName")
def name(machine: LoadedLibrary, handle: Any, buffer: Any, size: Any) -> None:
    gpu, instance = machine.parent(handle)
    text(buffer, size, gpu["name"] + (f" MIG {instance['profile']}" if instance else ""))


@call("nvmlDeviceGetIndex")
def index(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    wanted = machine.gpu(handle)["uuid"]
    put(out, next(i for i, (_, g) in enumerate(machine.gpus()) if g["uuid"] == wanted))


@call("nvmlDeviceGetMinorNumber")
def minor_number(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    wanted = machine.gpu(handle)["uuid"]
    put(out, next(minor for minor, g in machine.gpus() if g["uuid"] == wanted))


def _bus_id(gpu: JsonRecord) -> str:
    return f"00000000:{gpu['bus']:02X}:00.0"


@call("nvmlDeviceGetPciInfo_v3")
def pci_info(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu = machine.gpu(handle)
    device = MODEL_FACTS[gpu["model"]].pci_device
    fill(out, busId=_bus_id(gpu), busIdLegacy=_bus_id(gpu)[4:], domain=0, bus=gpu["bus"], device=0, pciDeviceId=device)


@call("nvmlDeviceGetArchitecture")
def architecture_code(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, architecture(models()[machine.parent(handle)[0]["model"]])[0])


@call("nvmlDeviceGetCudaComputeCapability")
def compute_capability(machine: LoadedLibrary, handle: Any, major: Any, minor: Any) -> None:
    version = architecture(models()[machine.parent(handle)[0]["model"]])[1]
    put(major, version[0])
    put(minor, version[1])


_OVER_NVLINK = 2
_P2P_OK, _P2P_NOT_SUPPORTED = 0, 5


@call("nvmlDeviceGetP2PStatus")
def peer_to_peer(machine: LoadedLibrary, handle: Any, other: Any, over: Any, out: Any) -> None:
    """Over NVLink: GPUs of one kind with MIG off, a machine's worth of them at a time."""
    ours, theirs = machine.gpu(handle), machine.gpu(other)
    alike = [g["uuid"] for g in machine.hardware.now["gpus"] if g["model"] == ours["model"]]
    size = MODEL_FACTS[ours["model"]].linked
    joined = theirs["uuid"] in alike and alike.index(ours["uuid"]) // size == alike.index(theirs["uuid"]) // size
    ready = value(over) == _OVER_NVLINK and joined and size > 1 and not (ours["mig"] or theirs["mig"])
    put(out, _P2P_OK if ready else _P2P_NOT_SUPPORTED)


def _memory(machine: LoadedLibrary, handle: Any) -> tuple[int, int]:
    gpu, instance = machine.parent(handle)
    total = machine.capacity_mib(gpu, instance)
    inside = _visible_processes(machine, gpu, instance)
    return total, min(total, sum(p["mib"] for p in inside))


@call("nvmlDeviceGetMemoryInfo")
def memory(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    total, used = _memory(machine, handle)
    fill(out, total=total * MIB, used=used * MIB, free=(total - used) * MIB)


@call("nvmlDeviceGetMemoryInfo_v2")
def memory_with_reserve(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    total, used = _memory(machine, handle)
    fill(out, total=total * MIB, used=used * MIB, free=(total - used) * MIB, reserved=0)


@call("nvmlDeviceGetBAR1MemoryInfo")
def bar1_memory(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu, instance = machine.parent(handle)
    total = 1 << processes.capacity_mib(gpu, instance).bit_length()
    fill(out, bar1Total=total * MIB, bar1Free=total * MIB, bar1Used=0)


def _visible_processes(machine: LoadedLibrary, gpu: JsonRecord, instance: JsonRecord | None) -> list[JsonRecord]:
    """A tenant sees its own: on an instance those inside it, under a memory limit those of its claim."""
    instances = {d.gi for d in machine.mig_devices(gpu)} if instance is None else {instance["gi"]}
    found = [p for p in processes.living(gpu) if p["gi"] is None or p["gi"] in instances]
    if gpu["uuid"] in machine.view.limits:
        return [p for p in found if p["claim"] == machine.view.claim]
    return found


@call("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
def compute_processes(machine: LoadedLibrary, handle: Any, size: Any, out: Any) -> None:
    gpu, instance = machine.parent(handle)
    found = _visible_processes(machine, gpu, instance)
    if found and (out is None or size._obj.value < len(found)):
        put(size, len(found))
        raise Refused(NvmlReturn.INSUFFICIENT_SIZE)
    for slot, process in zip(out or (), found, strict=False):
        slot.pid, slot.usedGpuMemory = process["pid"], process["mib"] * MIB
        slot.gpuInstanceId = _NO_ID if process["gi"] is None else process["gi"]
        slot.computeInstanceId = _NO_ID if process["gi"] is None else 0
    put(size, len(found))


@call(
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v2",
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v2",
)
def no_processes(machine: LoadedLibrary, handle: Any, size: Any, out: Any) -> None:
    machine.device(handle)
    put(size, 0)
