"""nvmlDeviceGet...: what sensors would say of an idle, healthy board, and its events."""

from __future__ import annotations

import itertools
import time
from typing import Any

from nodeagent.simulated_nvml.boards import BOARDS
from nodeagent.simulated_nvml.handles import Device, EventSet, fill, put, value
from nodeagent.simulated_nvml.hardware import Code, Refused
from nodeagent.simulated_nvml.machine import Machine, call

_EVENT_SETS = itertools.count(1)
_IDLE_CELSIUS = 29
_SLOWDOWN_CELSIUS = 92
_LOOK_S = 0.25


@call("nvmlDeviceGetTemperature")
def temperature(machine: Machine, handle: Any, sensor: Any, out: Any) -> None:
    put(out, machine.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureV")
def temperature_versioned(machine: Machine, handle: Any, out: Any) -> None:
    fill(out, temperature=machine.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureThreshold")
def temperature_threshold(machine: Machine, handle: Any, kind: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, _SLOWDOWN_CELSIUS)


@call("nvmlDeviceGetPowerUsage")
def power(machine: Machine, handle: Any, out: Any) -> None:
    put(out, BOARDS[machine.gpu(handle)["model"]].power_w * 1000 // 9)


@call(
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetPowerManagementDefaultLimit"
)
def power_limit(machine: Machine, handle: Any, out: Any) -> None:
    put(out, BOARDS[machine.gpu(handle)["model"]].power_w * 1000)


@call("nvmlDeviceGetUtilizationRates")
def utilization(machine: Machine, handle: Any, out: Any) -> None:
    if machine.gpu(handle)["mig"]:
        raise Refused(Code.NOT_SUPPORTED)
    fill(out, gpu=0, memory=0)


@call("nvmlDeviceGetPersistenceMode")
def persistence(machine: Machine, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 1)


@call(
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetDisplayActive",
    "nvmlDeviceGetDisplayMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetVirtualizationMode",
)
def zero(machine: Machine, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 0)


@call("nvmlDeviceGetFanSpeed", "nvmlDeviceGetFanSpeed_v2", "nvmlDeviceGetNvLinkState")
def not_there(machine: Machine, handle: Any, *rest: Any) -> None:
    machine.gpu(handle)
    raise Refused(Code.NOT_SUPPORTED)


@call("nvmlDeviceGetEccMode")
def ecc_mode(machine: Machine, handle: Any, current: Any, pending: Any) -> None:
    machine.gpu(handle)
    put(current, 1)
    put(pending, 1)


@call("nvmlDeviceGetTotalEccErrors")
def ecc_errors(machine: Machine, handle: Any, kind: Any, counter: Any, out: Any) -> None:
    put(out, machine.gpu(handle).get("ecc_uncorrected", 0) if value(kind) == 1 else 0)


@call("nvmlDeviceGetRemappedRows")
def remapped_rows(machine: Machine, handle: Any, *out: Any) -> None:
    """Corrected, uncorrected, pending, failed."""
    failed = int(machine.gpu(handle).get("remap_failed", False))
    for cell, number in zip(out, (0, failed, 0, failed), strict=True):
        put(cell, number)


@call("nvmlEventSetCreate")
def event_set_create(machine: Machine, out: Any) -> None:
    machine.handles.give(EventSet(next(_EVENT_SETS)), out)


@call("nvmlEventSetFree")
def event_set_free(machine: Machine, handle: Any) -> None:
    machine.handles.target(handle)


@call("nvmlDeviceGetSupportedEventTypes")
def supported_events(machine: Machine, handle: Any, out: Any) -> None:
    machine.gpu(handle)
    put(out, 0x1F)


@call("nvmlDeviceRegisterEvents")
def register_events(machine: Machine, handle: Any, types: Any, event_set: Any) -> None:
    machine.gpu(handle)
    machine.handles.target(event_set)


@call("nvmlEventSetWait_v2")
def event_set_wait(machine: Machine, handle: Any, out: Any, timeout_ms: Any) -> None:
    """The oldest event of any GPU; one that nobody waits for stays."""
    machine.handles.target(handle)
    left = value(timeout_ms) / 1000
    while not any(gpu["events"] for gpu in machine.hardware.now["gpus"]):
        if left <= 0:
            raise Refused(Code.TIMEOUT)
        time.sleep(min(_LOOK_S, left))
        left -= _LOOK_S
    with machine.hardware.state.change() as state:
        gpu = next(gpu for gpu in state["gpus"] if gpu["events"])
        event = gpu["events"].pop(0)
    machine.handles.give_field(Device(gpu["uuid"]), out, "device")
    fill(out, eventType=event["type"], eventData=event["data"])
