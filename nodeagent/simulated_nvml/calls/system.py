"""nvmlInit..., nvmlSystem..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml.handles import put, text, value
from nodeagent.simulated_nvml.hardware import NvmlReturn, Refused
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call


@call("nvmlInitWithFlags", "nvmlInit_v2")
def begin(machine: LoadedLibrary, flags: Any = 0) -> None:
    machine.hardware.state.read()


@call("nvmlShutdown")
def end(machine: LoadedLibrary) -> None:
    machine.hardware.state.close()


@call("nvmlSystemGetDriverVersion")
def driver_version(machine: LoadedLibrary, buffer: Any, size: Any) -> None:
    text(buffer, size, machine.hardware.now["driver"])


@call("nvmlSystemGetNVMLVersion")
def library_version(machine: LoadedLibrary, buffer: Any, size: Any) -> None:
    text(buffer, size, f"13.{machine.hardware.now['driver']}")


@call("nvmlSystemGetCudaDriverVersion", "nvmlSystemGetCudaDriverVersion_v2")
def cuda_version(machine: LoadedLibrary, out: Any) -> None:
    put(out, machine.hardware.now["cuda"])


@call("nvmlSystemGetProcessName")
def process_name(machine: LoadedLibrary, pid: Any, buffer: Any, size: Any) -> None:
    try:
        line = Path(f"/proc/{value(pid)}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError) as e:
        raise Refused(NvmlReturn.NOT_FOUND) from e
    text(buffer, size, line.split(b"\0")[0].decode(errors="replace")[: value(size) - 1])
