"""nvmlInit..., nvmlSystem..."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml.handles import put, text, value
from nodeagent.simulated_nvml.hardware import Code, Refused
from nodeagent.simulated_nvml.machine import Machine, call


@call("nvmlInitWithFlags", "nvmlInit_v2")
def begin(machine: Machine, flags: Any = 0) -> None:
    machine.hardware.state.read()


@call("nvmlShutdown")
def end(machine: Machine) -> None:
    machine.hardware.state.close()


@call("nvmlSystemGetDriverVersion")
def driver_version(machine: Machine, buffer: Any, size: Any) -> None:
    text(buffer, size, machine.hardware.now["driver"])


@call("nvmlSystemGetNVMLVersion")
def library_version(machine: Machine, buffer: Any, size: Any) -> None:
    text(buffer, size, f"13.{machine.hardware.now['driver']}")


@call("nvmlSystemGetCudaDriverVersion", "nvmlSystemGetCudaDriverVersion_v2")
def cuda_version(machine: Machine, out: Any) -> None:
    put(out, machine.hardware.now["cuda"])


@call("nvmlSystemGetProcessName")
def process_name(machine: Machine, pid: Any, buffer: Any, size: Any) -> None:
    try:
        line = Path(f"/proc/{value(pid)}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError) as e:
        raise Refused(Code.NOT_FOUND) from e
    text(buffer, size, line.split(b"\0")[0].decode(errors="replace")[: value(size) - 1])
