"""nvmlDevice...MemoryLimits_v1: limits on cgroups, as in drivers from R615 on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeagent.contract.units import MIB
from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.handles import fill
from nodeagent.simulated_nvml.hardware import JsonRecord, NvmlReturn, Refused
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call

_UNLIMITED = 2**64 - 1


def _limited(library: LoadedLibrary, handle: Any, argument: Any) -> tuple[JsonRecord, str]:
    """The GPU and the cgroup's directory."""
    gpu = library.gpu(handle)
    if not gpu.get("limits_memory"):
        raise Refused(NvmlReturn.FUNCTION_NOT_FOUND)
    if gpu["mig"]:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    cgroup = argument._obj.nameSpace
    if not Path(cgroup).is_dir():
        raise Refused(NvmlReturn.NOT_FOUND)
    return gpu, cgroup


@call("nvmlDeviceGetMemoryLimits_v1")
def get_limits(library: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu, cgroup = _limited(library, handle, out)
    used = processes.held_inside(gpu, cgroup) * MIB
    fill(out, softLimit=0, hardLimit=gpu["memory_limits"].get(cgroup, _UNLIMITED), currentUsed=used)


@call("nvmlDeviceSetMemoryLimits_v1")
def set_limits(library: LoadedLibrary, handle: Any, wanted: Any) -> None:
    gpu, cgroup = _limited(library, handle, wanted)
    with library.hardware.state.change() as state:
        limits = next(g for g in state["gpus"] if g["uuid"] == gpu["uuid"])["memory_limits"]
        if wanted._obj.hardLimit == _UNLIMITED:
            limits.pop(cgroup, None)
        else:
            limits[cgroup] = wanted._obj.hardLimit
