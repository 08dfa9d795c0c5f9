"""nvmlInit..., nvmlShutdown, nvmlSystem..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml.handles import put, text, value
from nodeagent.simulated_nvml.hardware import NvmlReturn, Refused
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call


@call("nvmlInitWithFlags", "nvmlInit_v2")
def begin(library: LoadedLibrary, flags: Any = 0) -> None:
    library.hardware.state.read()


@call("nvmlShutdown")
def end(library: LoadedLibrary) -> None:
    library.hardware.state.close()


@call("nvmlSystemGetDriverVersion")
def driver_version(library: LoadedLibrary, buffer: Any, size: Any) -> None:
    text(buffer, size, library.hardware.now["driver"])


@call("nvmlSystemGetNVMLVersion")
def library_version(library: LoadedLibrary, buffer: Any, size: Any) -> None:
    text(buffer, size, f"13.{library.hardware.now['driver']}")


@call("nvmlSystemGetCudaDriverVersion", "nvmlSystemGetCudaDriverVersion_v2")
def cuda_version(library: LoadedLibrary, out: Any) -> None:
    put(out, library.hardware.now["cuda"])


@call("nvmlSystemGetProcessName")
def process_name(library: LoadedLibrary, pid: Any, buffer: Any, size: Any) -> None:
    try:
        line = Path(f"/proc/{value(pid)}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError) as e:
        raise Refused(NvmlReturn.NOT_FOUND) from e
    text(buffer, size, line.split(b"\0")[0].decode(errors="replace")[: value(size) - 1])
