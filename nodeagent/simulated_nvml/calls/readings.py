"""nvmlDeviceGet...: the sensors' readings of an idle, healthy GPU, and its events."""

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
_POLL_S = 0.25
_RECOVERY_ACTION = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION


@call("nvmlDeviceGetTemperature")
def temperature(library: LoadedLibrary, handle: Any, sensor: Any, out: Any) -> None:
    put(out, library.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureV")
def temperature_versioned(library: LoadedLibrary, handle: Any, out: Any) -> None:
    fill(out, temperature=library.gpu(handle).get("celsius", _IDLE_CELSIUS))


@call("nvmlDeviceGetTemperatureThreshold")
def temperature_threshold(library: LoadedLibrary, handle: Any, kind: Any, out: Any) -> None:
    library.gpu(handle)
    put(out, _SLOWDOWN_CELSIUS)


@call("nvmlDeviceGetPowerUsage")
def power(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, MODEL_FACTS[library.gpu(handle)["model"]].power_w * 1000 // 9)


@call(
    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetPowerManagementDefaultLimit"
)
def power_limit(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, MODEL_FACTS[library.gpu(handle)["model"]].power_w * 1000)


@call("nvmlDeviceGetUtilizationRates")
def utilization(library: LoadedLibrary, handle: Any, out: Any) -> None:
    if library.gpu(handle)["mig"]:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    fill(out, gpu=0, memory=0)


@call("nvmlDeviceGetPersistenceMode")
def persistence(library: LoadedLibrary, handle: Any, out: Any) -> None:
    library.gpu(handle)
    put(out, 1)


@call(
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetDisplayActive",
    "nvmlDeviceGetDisplayMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetVirtualizationMode",
)
def zero(library: LoadedLibrary, handle: Any, out: Any) -> None:
    library.gpu(handle)
    put(out, 0)


@call("nvmlDeviceGetFanSpeed", "nvmlDeviceGetFanSpeed_v2", "nvmlDeviceGetNvLinkState")
def not_there(library: LoadedLibrary, handle: Any, *rest: Any) -> None:
    library.gpu(handle)
    raise Refused(NvmlReturn.NOT_SUPPORTED)


@call("nvmlDeviceGetEccMode")
def ecc_mode(library: LoadedLibrary, handle: Any, current: Any, pending: Any) -> None:
    library.gpu(handle)
    put(current, 1)
    put(pending, 1)


@call("nvmlDeviceGetTotalEccErrors")
def ecc_errors(library: LoadedLibrary, handle: Any, kind: Any, counter: Any, out: Any) -> None:
    put(out, library.gpu(handle).get("ecc_uncorrected", 0) if value(kind) == 1 else 0)


@call("nvmlDeviceGetRemappedRows")
def remapped_rows(library: LoadedLibrary, handle: Any, *out: Any) -> None:
    """Corrected, uncorrected, pending, failed."""
    failed = int(library.gpu(handle).get("remap_failed", False))
    for cell, number in zip(out, (0, failed, 0, failed), strict=True):
        put(cell, number)


@call("nvmlDeviceGetFieldValues")
def field_values(library: LoadedLibrary, handle: Any, count: Any, out: Any) -> None:
    """Of all fields only what the driver says the GPU needs after an error."""
    gpu = library.gpu(handle)
    for field in out._obj:
        known = field.fieldId == _RECOVERY_ACTION
        field.nvmlReturn = NvmlReturn.SUCCESS if known else NvmlReturn.NOT_SUPPORTED
        field.value.uiVal = gpu.get("recovery", 0) if known else 0


@call("nvmlEventSetCreate")
def event_set_create(library: LoadedLibrary, out: Any) -> None:
    library.handles.give(EventSet(next(_EVENT_SETS)), out)


@call("nvmlEventSetFree")
def event_set_free(library: LoadedLibrary, handle: Any) -> None:
    library.handles.target(handle)


@call("nvmlDeviceGetSupportedEventTypes")
def supported_events(library: LoadedLibrary, handle: Any, out: Any) -> None:
    library.gpu(handle)
    put(out, 0x1F)


@call("nvmlDeviceRegisterEvents")
def register_events(library: LoadedLibrary, handle: Any, types: Any, event_set: Any) -> None:
    library.gpu(handle)
    library.handles.target(event_set)


@call("nvmlEventSetWait_v2")
def event_set_wait(library: LoadedLibrary, handle: Any, out: Any, timeout_ms: Any) -> None:
    """The oldest event of any GPU; one that nobody waits for stays."""
    library.handles.target(handle)
    left = value(timeout_ms) / 1000
    while not any(gpu["events"] for gpu in library.hardware.now["gpus"]):
        if left <= 0:
            raise Refused(NvmlReturn.TIMEOUT)
        time.sleep(min(_POLL_S, left))
        left -= _POLL_S
    with library.hardware.state.change() as state:
        gpu = next(gpu for gpu in state["gpus"] if gpu["events"])
        event = gpu["events"].pop(0)
    library.handles.give_field(GpuDevice(gpu["uuid"]), out, "device")
    fill(out, eventType=event["type"], eventData=event["data"])
