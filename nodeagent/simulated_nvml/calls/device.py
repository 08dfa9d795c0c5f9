"""nvmlDeviceGet...: identity, memory, processes, NVLink."""

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
def count(library: LoadedLibrary, out: Any) -> None:
    put(out, len(library.gpus()))


@call("nvmlDeviceGetHandleByIndex_v2")
def by_index(library: LoadedLibrary, index: Any, out: Any) -> None:
    gpus = library.gpus()
    if value(index) >= len(gpus):
        raise Refused(NvmlReturn.INVALID_ARGUMENT)
    library.handles.give(GpuDevice(gpus[value(index)][1]["uuid"]), out)


@call("nvmlDeviceGetHandleByUUID")
def by_uuid(library: LoadedLibrary, uuid: Any, out: Any) -> None:
    wanted = value(uuid).decode()
    for _, gpu in library.gpus():
        if gpu["uuid"] == wanted:
            return library.handles.give(GpuDevice(wanted), out)
        for mig in library.mig_devices(gpu):
            if mig.uuid == wanted:
                return library.handles.give(mig, out)
    raise Refused(NvmlReturn.NOT_FOUND)


@call("nvmlDeviceGetHandleByPciBusId_v2")
def by_bus_id(library: LoadedLibrary, bus_id: Any, out: Any) -> None:
    for _, gpu in library.gpus():
        if _bus_id(gpu) == value(bus_id).decode():
            return library.handles.give(GpuDevice(gpu["uuid"]), out)
    raise Refused(NvmlReturn.NOT_FOUND)


@call("nvmlDeviceGetUUID")
def uuid(library: LoadedLibrary, handle: Any, buffer: Any, size: Any) -> None:
    target = library.device(handle)
    text(buffer, size, target.uuid if isinstance(target, MigDevice) else target.gpu)


@call("nvmlDeviceGetName")
def name(library: LoadedLibrary, handle: Any, buffer: Any, size: Any) -> None:
    gpu, instance = library.parent(handle)
    text(buffer, size, gpu["name"] + (f" MIG {instance['profile']}" if instance else ""))


@call("nvmlDeviceGetIndex")
def index(library: LoadedLibrary, handle: Any, out: Any) -> None:
    wanted = library.gpu(handle)["uuid"]
    put(out, next(i for i, (_, g) in enumerate(library.gpus()) if g["uuid"] == wanted))


@call("nvmlDeviceGetMinorNumber")
def minor_number(library: LoadedLibrary, handle: Any, out: Any) -> None:
    wanted = library.gpu(handle)["uuid"]
    put(out, next(minor for minor, g in library.gpus() if g["uuid"] == wanted))


def _bus_id(gpu: JsonRecord) -> str:
    return f"00000000:{gpu['bus']:02X}:00.0"


@call("nvmlDeviceGetPciInfo_v3")
def pci_info(library: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu = library.gpu(handle)
    device = MODEL_FACTS[gpu["model"]].pci_device
    fill(out, busId=_bus_id(gpu), busIdLegacy=_bus_id(gpu)[4:], domain=0, bus=gpu["bus"], device=0, pciDeviceId=device)


@call("nvmlDeviceGetArchitecture")
def architecture_code(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, architecture(models()[library.parent(handle)[0]["model"]])[0])


@call("nvmlDeviceGetCudaComputeCapability")
def compute_capability(library: LoadedLibrary, handle: Any, major: Any, minor: Any) -> None:
    version = architecture(models()[library.parent(handle)[0]["model"]])[1]
    put(major, version[0])
    put(minor, version[1])


_OVER_NVLINK = 2
_P2P_OK, _P2P_NOT_SUPPORTED = 0, 5


@call("nvmlDeviceGetP2PStatus")
def peer_to_peer(library: LoadedLibrary, handle: Any, other: Any, over: Any, out: Any) -> None:
    """Over NVLink: GPUs of one kind with MIG off, a library's worth of them at a time."""
    one, two = library.gpu(handle), library.gpu(other)
    alike = [g["uuid"] for g in library.hardware.now["gpus"] if g["model"] == one["model"]]
    size = MODEL_FACTS[one["model"]].linked
    linked = two["uuid"] in alike and alike.index(one["uuid"]) // size == alike.index(two["uuid"]) // size
    ready = value(over) == _OVER_NVLINK and linked and size > 1 and not (one["mig"] or two["mig"])
    put(out, _P2P_OK if ready else _P2P_NOT_SUPPORTED)


def _memory(library: LoadedLibrary, handle: Any) -> tuple[int, int]:
    gpu, instance = library.parent(handle)
    total = library.capacity_mib(gpu, instance)
    inside = _visible_processes(library, gpu, instance)
    return total, min(total, sum(p["mib"] for p in inside))


@call("nvmlDeviceGetMemoryInfo")
def memory(library: LoadedLibrary, handle: Any, out: Any) -> None:
    total, used = _memory(library, handle)
    fill(out, total=total * MIB, used=used * MIB, free=(total - used) * MIB)


@call("nvmlDeviceGetMemoryInfo_v2")
def memory_with_reserve(library: LoadedLibrary, handle: Any, out: Any) -> None:
    total, used = _memory(library, handle)
    fill(out, total=total * MIB, used=used * MIB, free=(total - used) * MIB, reserved=0)


@call("nvmlDeviceGetBAR1MemoryInfo")
def bar1_memory(library: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu, instance = library.parent(handle)
    total = 1 << processes.capacity_mib(gpu, instance).bit_length()
    fill(out, bar1Total=total * MIB, bar1Free=total * MIB, bar1Used=0)


def _visible_processes(library: LoadedLibrary, gpu: JsonRecord, instance: JsonRecord | None) -> list[JsonRecord]:
    """A tenant sees its own: on an instance those inside it, under a memory limit those of its claim."""
    instances = {d.gi for d in library.mig_devices(gpu)} if instance is None else {instance["gi"]}
    found = [p for p in processes.living(gpu) if p["gi"] is None or p["gi"] in instances]
    if gpu["uuid"] in library.view.limits:
        return [p for p in found if p["claim"] == library.view.claim]
    return found


@call("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
def compute_processes(library: LoadedLibrary, handle: Any, size: Any, out: Any) -> None:
    gpu, instance = library.parent(handle)
    found = _visible_processes(library, gpu, instance)
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
def no_processes(library: LoadedLibrary, handle: Any, size: Any, out: Any) -> None:
    library.device(handle)
    put(size, 0)
