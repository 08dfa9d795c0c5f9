"""Switching MIG mode, with each architecture's rules.

On Ampere a mode takes effect at a GPU reset (the driver does one by itself where it can; a VM needs a
reboot) and survives reboots. On Hopper and later it takes effect at once and ends with the driver, so the
agent sets it again after a boot, on a GPU that an admin switched on. A GPU in use is refused with the
reason, and no mode is changed that an admin did not set.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nodeagent.gpu import mig_instances
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.nvml import GpuInfo, HardwareInstance, MigMode, NotPermitted, NotSupported, Nvml, NvmlError


class Outcome(StrEnum):
    """The result of a switch.

    done      the mode is the desired one
    pending   it takes effect at the next reset of the GPU or reboot of the machine
    refused   nothing was changed
    """

    DONE = "done"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ModeChange:
    """The result for one GPU. `reason`: why it is pending or refused, and what to do."""

    gpu: str
    index: int
    on: bool
    outcome: Outcome
    reason: str = ""


def refusal(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange | None:
    """Why a GPU cannot be switched now; None where it can. Needs its lock. Raises NvmlError, AgentError."""
    mode = nvml.mig_mode(gpu.uuid)
    if mode is None:
        return _refused(gpu, on, f"{gpu.info.name} has no MIG")
    if mode == MigMode(on, on):
        return None
    reason = _occupied(nvml, gpu, mig_instances.reconcile(nvml, gpu))
    return _refused(gpu, on, reason) if reason else None


def reserve(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange | None:
    """Reserve a GPU for a switch: nothing new is held there until the caller is done. Else as `refusal`."""
    gpu.reserved = True
    return refusal(nvml, gpu, on)


def switch(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange:
    """Set the mode of a GPU that nobody uses. Needs its lock. Raises NvmlError, AgentError with nothing half-done."""
    mode = nvml.mig_mode(gpu.uuid)
    if mode != MigMode(on, on):
        mig_instances.clear(nvml, gpu)
        try:
            mode = nvml.set_mig_mode(gpu.uuid, on)
        except NotPermitted as e:
            return _refused(gpu, on, f"{e}; the node agent must run as root (CAP_SYS_ADMIN), and some clouds forbid it")
        except NotSupported as e:
            return _refused(gpu, on, f"{e}; a vGPU guest or this driver cannot switch MIG mode")
    if gpu.record.desired_mig != on:
        gpu.journal.append(records.desired_mig(on))
    if mode.current != on:
        return ModeChange(gpu.uuid, gpu.info.index, on, Outcome.PENDING, waits_for_reset(gpu, mode))
    return ModeChange(gpu.uuid, gpu.info.index, on, Outcome.DONE)


def waits_for_reset(gpu: ManagedGpu, mode: MigMode | None) -> str:
    """What a GPU with a pending mode waits for, and the command for it; "" where none is pending."""
    if mode is None or mode.current == mode.pending:
        return ""
    command = reset_command(gpu.info, gpu.nvidia_smi)
    return f"MIG mode {'on' if mode.pending else 'off'} waits for a GPU reset: {command}"


def reset_command(gpu_info: GpuInfo, simulated: Path | None = None) -> str:
    """How an admin resets a GPU. simulated: the `nvidia-smi` of simulated GPUs, where they are."""
    if simulated is not None:
        return f"{shlex.quote(str(simulated))} --gpu-reset -i {gpu_info.index}"
    return f"nvidia-smi --gpu-reset -i {gpu_info.index}, or a reboot where the machine is virtual"


def restore(nvml: Nvml, gpu: ManagedGpu) -> None:
    """After a boot: set the mode again that an admin had set, where the boot reset it."""
    if gpu.record.desired_mig is not True:
        return
    mode = nvml.mig_mode(gpu.uuid)
    if mode == MigMode(False, False) and not nvml.processes(gpu.uuid):
        nvml.set_mig_mode(gpu.uuid, True)


def _occupied(nvml: Nvml, gpu: ManagedGpu, present: Sequence[HardwareInstance]) -> str:
    """Who uses the GPU; "" where nobody does."""
    if gpu.record.holds:
        names = ", ".join(sorted(h.name for h in gpu.record.holds.values()))
        return f"it is used by {names}: delete or suspend that first"
    owned = gpu.record.owned.values()
    foreign = [i for i in present if not any(mig_instances.owns(o, i) for o in owned)]
    if foreign:
        return (
            f"it has an instance that migctl did not make ({foreign[0].profile} at {foreign[0].start}): remove it first"
        )
    if gpu.record.quarantined:
        return "it has a quarantined instance: reset the GPU or reboot first"
    pids = sorted(p.pid for p in nvml.processes(gpu.uuid))
    if pids:
        return f"process {pids[0]} uses it: stop it first (a monitor or a display server counts)"
    return ""


def _refused(gpu: ManagedGpu, on: bool, reason: str) -> ModeChange:
    return ModeChange(gpu.uuid, gpu.info.index, on, Outcome.REFUSED, reason)


def failed(gpu: ManagedGpu, on: bool, e: Exception) -> ModeChange:
    """A switch that failed on the way. The next recovery cleans up."""
    gpu.needs_recovery = gpu.needs_recovery or isinstance(e, NvmlError)
    return _refused(gpu, on, str(e))
