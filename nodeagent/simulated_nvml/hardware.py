"""The rules that the hardware enforces, over the state file. Every refusal is an NVML return code.

Legal placements; overlap and the media engines -> INSUFFICIENT_RESOURCES; destroying what a
process uses -> IN_USE; compute instance before GPU instance; MIG mode pending until a reset
on Ampere; a new UUID at every creation, ids reused.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.state import State, StateFile
from solver.model.catalog import models
from solver.model.geometry import GpuModel, Placement, Profile, legal

JsonRecord = dict[str, Any]

XID_EVENT = 0x8  # nvmlEventTypeXidCriticalError


class NvmlReturn(IntEnum):
    """NVML return codes (nvml.h)."""

    SUCCESS = 0
    UNINITIALIZED = 1
    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    INSUFFICIENT_SIZE = 7
    TIMEOUT = 10
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    IN_USE = 19
    MEMORY = 20
    INSUFFICIENT_RESOURCES = 23
    INVALID_STATE = 29
    UNKNOWN = 999


class Refused(Exception):
    """The driver returns an error code."""

    def __init__(self, code: NvmlReturn) -> None:
        super().__init__(code.name)
        self.code = code


def memory_mib(model: GpuModel, profile: Profile) -> int:
    """Usable memory; where no source gives it, its part of the GPU's."""
    return profile.memory_mib or model.memory_mib * profile.size // model.units


def board_id(profile: Profile) -> int:
    """nvmlGpuInstanceProfileInfo.id; where no source gives it, one that collides with none."""
    return 100 + profile.enum if profile.board_id is None else profile.board_id


def gpu_instance_id(model: GpuModel, profile: Profile, start: int, taken: set[int]) -> int:
    """The id a driver gives: on GPUs of 8 units it follows from the placement, else the lowest free one."""
    if model.units == 8:
        by_place = {8: 0, 4: 2 - start // 4, 2: 3 + start // 2, 1: 7 + start}[profile.size]
        if by_place not in taken:
            return by_place
    return next(i for i in range(1, 32) if i not in taken)


class SimulatedHardware:
    """A simulated machine. `sleep` passes the driver's latencies."""

    def __init__(self, state: StateFile, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.state = state
        self._sleep = sleep

    @property
    def now(self) -> State:
        return self.state.read()

    def gpu(self, uuid: str) -> JsonRecord:
        return _gpu(self.now, uuid)

    def instance(self, uuid: str, gi: int) -> JsonRecord:
        return _instance(self.gpu(uuid), gi)

    def create_gpu_instance(self, uuid: str, profile_id: int, start: int | None) -> int:
        """Returns the new GPU instance's id. start None: the first free placement."""
        self._sleep(self.now["create_s"] * 0.8)
        with self.state.change() as state:
            gpu = _gpu(state, uuid)
            if not gpu["mig"]:
                raise Refused(NvmlReturn.NOT_SUPPORTED)
            model = models()[gpu["model"]]
            profile = next((p for p in model.profiles if board_id(p) == profile_id), None)
            if profile is None or (start is not None and start not in profile.starts):
                raise Refused(NvmlReturn.INVALID_ARGUMENT)
            layout = [Placement(i["profile"], i["start"]) for i in gpu["instances"]]
            starts = profile.starts if start is None else (start,)
            free = [s for s in starts if legal(model, [*layout, Placement(profile.name, s)])]
            if not free:
                raise Refused(NvmlReturn.INSUFFICIENT_RESOURCES)
            gi = gpu_instance_id(model, profile, free[0], {i["gi"] for i in gpu["instances"]})
            state["created_instances"] += 1
            gpu["instances"].append(
                {
                    "gi": gi,
                    "serial": state["created_instances"],
                    "profile": profile.name,
                    "start": free[0],
                    "size": profile.size,
                    "slices": profile.slices,
                    "memory_mib": memory_mib(model, profile),
                    "compute": [],
                }
            )
            return gi

    def create_compute_instance(self, uuid: str, gi: int, slices: int) -> int:
        """Returns the new compute instance's id, lowest first."""
        self._sleep(self.now["create_s"] * 0.2)
        with self.state.change() as state:
            instance = _instance(_gpu(state, uuid), gi)
            if slices > instance["slices"]:
                raise Refused(NvmlReturn.NOT_SUPPORTED)
            if slices + sum(c["slices"] for c in instance["compute"]) > instance["slices"]:
                raise Refused(NvmlReturn.INSUFFICIENT_RESOURCES)
            taken = {c["ci"] for c in instance["compute"]}
            ci = next(i for i in range(8) if i not in taken)
            state["created_instances"] += 1
            instance["compute"].append({"ci": ci, "slices": slices, "uuid": _mig_uuid(uuid, state)})
            return ci

    def destroy_compute_instance(self, uuid: str, gi: int, ci: int) -> None:
        """Raises Refused: IN_USE while a process runs in it."""
        self._sleep(self.now["destroy_s"] * 0.3)
        with self.state.change() as state:
            gpu = _gpu(state, uuid)
            instance = _instance(gpu, gi)
            if any(p["gi"] == gi for p in processes.living(gpu)):
                raise Refused(NvmlReturn.IN_USE)
            if ci not in {c["ci"] for c in instance["compute"]}:
                raise Refused(NvmlReturn.NOT_FOUND)
            instance["compute"] = [c for c in instance["compute"] if c["ci"] != ci]

    def destroy_gpu_instance(self, uuid: str, gi: int) -> None:
        """Raises Refused: IN_USE while it has a compute instance."""
        self._sleep(self.now["destroy_s"] * 0.7)
        with self.state.change() as state:
            gpu = _gpu(state, uuid)
            instance = _instance(gpu, gi)
            if instance["compute"]:
                raise Refused(NvmlReturn.IN_USE)
            gpu["instances"].remove(instance)

    def set_mig_mode(self, uuid: str, on: bool) -> None:
        """Takes hold at once, or on Ampere at the next reset."""
        with self.state.change() as state:
            gpu = _gpu(state, uuid)
            model = models()[gpu["model"]]
            if not model.profiles:
                raise Refused(NvmlReturn.NOT_SUPPORTED)
            if gpu["instances"] or processes.living(gpu):
                raise Refused(NvmlReturn.IN_USE)
            gpu["mig_pending"] = on
            if not model.mig_mode_needs_reset:
                gpu["mig"] = on

    def reset(self, uuid: str) -> None:
        """`nvidia-smi --gpu-reset`: instances go, a pending MIG mode takes hold."""
        with self.state.change() as state:
            gpu = _gpu(state, uuid)
            if processes.living(gpu):
                raise Refused(NvmlReturn.IN_USE)
            gpu.update(instances=[], events=[], mig=gpu["mig_pending"])


def fail(state: StateFile, uuid: str, *, xid: int | None = None, **condition: Any) -> None:
    """Let the driver log an XID error for a GPU, or set `celsius`, `ecc_uncorrected`, `remap_failed`, `recovery`."""
    with state.change() as changed:
        gpu = _gpu(changed, uuid)
        gpu.update(condition)
        if xid is not None:
            gpu["events"].append({"type": XID_EVENT, "data": xid})


def _gpu(state: State, uuid: str) -> JsonRecord:
    for gpu in state["gpus"]:
        if gpu["uuid"] == uuid:
            found: JsonRecord = gpu
            return found
    raise Refused(NvmlReturn.NOT_FOUND)


def _instance(gpu: JsonRecord, gi: int) -> JsonRecord:
    for instance in gpu["instances"]:
        if instance["gi"] == gi:
            found: JsonRecord = instance
            return found
    raise Refused(NvmlReturn.NOT_FOUND)


def _mig_uuid(gpu: str, state: State) -> str:
    return f"MIG-{uuid.uuid5(uuid.UUID(gpu.removeprefix('GPU-')), str((state['boots'], state['created_instances'])))}"
