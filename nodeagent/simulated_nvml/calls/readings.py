"""nvmlDeviceGet...: what sensors would say of an idle, healthy GPU, and its events."""

from __future__ import annotations

import itertools
import time
from typing import Any

from nodeagent.simulated_nvml.gpu_models import MODEL_FACTS
from nodeagent.simulated_nvml.handles import EventSet, GpuDevice, fill, put, value
from nodeagent.simulated_nvml.hardware import NvmlReturn, Refused
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call

_EVENT_SETS = itertools.count(1)
_IDLE_CELSIUS = 29
_SLOWDOWN_CELSIUS = 92
_LOOK_S = 0.25


@call("nvmlDeviceGetTemperature")
def temperature(machine: LoadedLibrary, handle: Any, sensor: Any, out: Any) -> None:
    put(out, machine.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureV")
def temperature_versioned(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    fill(out, temperature=machine.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureThreshold")
def temperature_threshold(machine: LoadedLibrary, handle: Any, kind: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, _SLOWDOWN_CELSIUS)


@call("nvmlDeviceGetPowerUsage")
def power(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, MODEL_FACTS[machine.gpu(handle)["model"]].power_w * 1000 // 9)


@call(
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetPowerManagementDefaultLimit"
)
def power_limit(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, MODEL_FACTS[machine.gpu(handle)["model"]].power_w * 1000)


@call("nvmlDeviceGetUtilizationRates")
def utilization(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    if machine.gpu(handle)["mig"]:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    fill(out, gpu=0, memory=0)


@call("nvmlDeviceGetPersistenceMode")
def persistence(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 1)


@call(
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetDisplayActive",
    "nvmlDeviceGetDisplayMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetVirtualizationMode",
)
def zero(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 0)


@call("nvmlDeviceGetFanSpeed", "nvmlDeviceGetFanSpeed_v2", "nvmlDeviceGetNvLinkState")
def not_there(machine: LoadedLibrary, handle: Any, *rest: Any) -> None:
    machine.gpu(handle)
    raise Refused(NvmlReturn.NOT_SUPPORTED)


@call("nvmlDeviceGetEccMode")
def ecc_mode(machine: LoadedLibrary, handle: Any, current: Any, pending: Any) -> None:
    machine.gpu(handle)
    put(current, 1)
    put(pending, 1)


@call("nvmlDeviceGetTotalEccErrors")
def ecc_errors(machine: LoadedLibrary, handle: Any, kind: Any, counter: Any, out: Any) -> None:
    put(out, machine.gpu(handle).get("ecc_uncorrected", 0) if value(kind) == 1 else 0)


@call("nvmlDeviceGetRemappedRows")
def remapped_rows(machine: LoadedLibrary, handle: Any, *out: Any) -> None:
    """Corrected, uncorrected, pending, failed."""
    failed = int(machine.gpu(handle).get("remap_failed", False))
    for cell, number in zip(out, (0, failed, 0, failed), strict=True):
        put(cell, number)


@call("nvmlEventSetCreate")
def event_set_create(machine: LoadedLibrary, out: Any) -> None:
    machine.handles.give(EventSet(next(_EVENT_SETS)), out)


@call("nvmlEventSetFree")
def event_set_free(machine: LoadedLibrary, handle: Any) -> None:
    machine.handles.target(handle)


@call("nvmlDeviceGetSupportedEventTypes")
def supported_events(machine: LoadedLibrary, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 0x1F)


@call("nvmlDeviceRegisterEvents")
def register_events(machine: LoadedLibrary, handle: Any, types: Any, event_set: Any) -> None:
    machine.gpu(handle)
    machine.handles.target(event_set)


@call("nvmlEventSetWait_v2")
def event_set_wait(machine: LoadedLibrary, handle: Any, out: Any, timeout_ms: Any) -> None:
    """The oldest event of any GPU; one that nobody waits for stays."""
    machine.handles.target(handle)
    left = value(timeout_ms) / 1000
    while not any(gpu["events"] for gpu in machine.hardware.now["gpus"]):
        if left <= 0:
            raise Refused(NvmlReturn.TIMEOUT)
        time.sleep(min(_LOOK_S, left))
        left -= _LOOK_S
    with machine.hardware.state.change() as state:
        gpu = next(gpu for gpu in state["gpus"] if gpu["events"])
        event = gpu["events"].pop(0)
    machine.handles.give_field(GpuDevice(gpu["uuid"]), out, "device")
    fill(out, eventType=event["type"], eventData=event["data"])
