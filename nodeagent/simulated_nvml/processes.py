"""Who holds memory on a simulated GPU: a process is its pid and its start time.

A pid that ended, is a zombie or was given to another process holds nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nodeagent import procfs
from nodeagent.contract.units import MIB
from nodeagent.simulated_nvml.state import State, StateFile


class OutOfMemory(Exception):
    """The device has less memory free than the program allocates."""


class NoSuchDevice(Exception):
    """No GPU or MIG device has this UUID."""


def living(gpu: dict[str, Any]) -> list[dict[str, Any]]:
    """The GPU's processes that still run."""
    return [p for p in gpu["processes"] if procfs.start_time(p["pid"]) == p["start"]]


def locate(state: State, uuid: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The GPU of a GPU or MIG UUID, and the GPU instance of a MIG one."""
    for gpu in state["gpus"]:
        if gpu["uuid"] == uuid:
            return gpu, None
        for instance in gpu["instances"]:
            if any(compute["uuid"] == uuid for compute in instance["compute"]):
                return gpu, instance
    raise NoSuchDevice(f"no device {uuid}")


def capacity_mib(gpu: dict[str, Any], instance: dict[str, Any] | None) -> int:
    """Memory of an instance, or of the whole GPU."""
    total: int = gpu["memory_mib"] if instance is None else instance["memory_mib"]
    return total


def used_mib(gpu: dict[str, Any], instance: dict[str, Any] | None) -> int:
    """Memory in use of an instance, or of the whole GPU."""
    inside = [p for p in living(gpu) if instance is None or p["gi"] == instance["gi"]]
    return sum(p["mib"] for p in inside)


def hold(file: StateFile, uuid: str, mib: int | None, *, pid: int | None = None, claim: str = "") -> int:
    """Allocate `mib` MiB (None: all that is free) of a device for a process; returns how much it has.

    A second call of the same process on the same device replaces the first.
    """
    pid = os.getpid() if pid is None else pid
    start = procfs.start_time(pid)
    if start is None:
        raise ProcessLookupError(f"no process {pid}")
    with file.change() as state:
        gpu, instance = locate(state, uuid)
        gi = None if instance is None else instance["gi"]
        gpu["processes"] = [p for p in living(gpu) if (p["pid"], p["gi"]) != (pid, gi)]
        free = capacity_mib(gpu, instance) - used_mib(gpu, instance)
        requested = free if mib is None else mib
        if gi is None:
            free = min(free, *(_left(gpu, cgroup, limit) for cgroup, limit in _limits_on(gpu, pid)), free)
        if requested > free:
            raise OutOfMemory(f"{requested} MiB requested, {free} MiB free on {uuid}")
        gpu["processes"].append({"pid": pid, "start": start, "mib": requested, "gi": gi, "claim": claim})
        return requested


def _limits_on(gpu: dict[str, Any], pid: int) -> list[tuple[str, int]]:
    """The limited cgroups that a process runs in, with their limits in bytes."""
    return [(cgroup, limit) for cgroup, limit in gpu.get("memory_limits", {}).items() if is_inside(cgroup, pid)]


def _left(gpu: dict[str, Any], cgroup: str, limit: int) -> int:
    """MiB that a limited cgroup may still take."""
    return max(0, limit // MIB - held_inside(gpu, cgroup))


def held_inside(gpu: dict[str, Any], cgroup: str) -> int:
    """MiB that the processes of a cgroup hold."""
    return sum(p["mib"] for p in living(gpu) if is_inside(cgroup, p["pid"]))


def is_inside(cgroup: str, pid: int) -> bool:
    """Whether a process or an ancestor of it is in a cgroup's list. In tests a plain folder stands for the cgroup."""
    try:
        members = set(Path(cgroup, "cgroup.procs").read_text(encoding="ascii").split())
    except OSError:
        return False
    while pid > 1 and str(pid) not in members:
        try:
            pid = procfs.parent(pid)
        except OSError:
            return False
    return pid > 1
