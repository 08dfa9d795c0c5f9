"""Switching MIG mode, with each architecture's rules.

Ampere takes the mode at a GPU reset (the driver does one by itself where it can; a VM needs a
reboot) and keeps it over reboots; Hopper and later take it at once and lose it with the driver,
so that the agent sets it again after a boot, on a GPU that an admin switched on. A GPU that
somebody uses is refused with the reason, and a mode is never changed without being told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nodeagent.gpu import mig_instances
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.nvml import GpuInfo, HardwareInstance, MigMode, NotPermitted, NotSupported, Nvml, NvmlError


class Outcome(StrEnum):
    """What became of a switch.

    done      the mode is as wanted
    pending   it takes hold at the next reset of the GPU or reboot of the machine
    refused   nothing was changed
    """

    DONE = "done"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One GPU's answer. `reason` says why it is pending or refused, and what to do."""

    gpu: str
    index: int
    on: bool
    outcome: Outcome
    reason: str = ""


def refusal(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange | None:
    """Why a GPU cannot be switched now; None where it can. Needs its turn. Raises NvmlError, AgentError."""
    mode = nvml.mig_mode(gpu.uuid)
    if mode is None:
        return _refused(gpu, on, f"{gpu.board.name} has no MIG")
    if mode == MigMode(on, on):
        return None
    reason = _occupied(nvml, gpu, mig_instances.settle(nvml, gpu))
    return _refused(gpu, on, reason) if reason else None


def reserve(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange | None:
    """Keep a GPU for a switch: nothing new is held there until the caller is done. Else as `refusal`."""
    gpu.reserved = True
    return refusal(nvml, gpu, on)


def switch(nvml: Nvml, gpu: ManagedGpu, on: bool) -> ModeChange:
    """Bring a GPU that nobody uses into a mode. Needs its turn. Raises NvmlError, AgentError with nothing half-done."""
    mode = nvml.mig_mode(gpu.uuid)
    if mode != MigMode(on, on):
        mig_instances.clear(nvml, gpu)
        try:
            mode = nvml.set_mig_mode(gpu.uuid, on)
        except NotPermitted as e:
            return _refused(gpu, on, f"{e}; the node agent must run as root (CAP_SYS_ADMIN), and some clouds forbid it")
        except NotSupported as e:
            return _refused(gpu, on, f"{e}; a vGPU guest or this driver cannot switch MIG mode")
    if gpu.record.mig_wanted != on:
        gpu.journal.append(records.mig_wanted(on))
    if mode.current != on:
        return ModeChange(gpu.uuid, gpu.board.index, on, Outcome.PENDING, waits_for_reset(gpu, mode))
    return ModeChange(gpu.uuid, gpu.board.index, on, Outcome.DONE)


def waits_for_reset(gpu: ManagedGpu, mode: MigMode | None) -> str:
    """What a GPU with a pending mode waits for; "" where none is pending."""
    if mode is None or mode.current == mode.pending:
        return ""
    return f"MIG mode {'on' if mode.pending else 'off'} waits for a GPU reset: {reset_command(gpu.board)}"


def reset_command(board: GpuInfo) -> str:
    """How an admin resets a GPU."""
    return f"nvidia-smi --gpu-reset -i {board.index}, or a reboot where the machine is virtual"


def restore(nvml: Nvml, gpu: ManagedGpu) -> None:
    """After a boot: set the mode again that an admin asked for, where the boot took it."""
    if gpu.record.mig_wanted is not True:
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
    return ModeChange(gpu.uuid, gpu.board.index, on, Outcome.REFUSED, reason)


def explained(gpu: ManagedGpu, on: bool, e: Exception) -> ModeChange:
    """A switch that failed on the way. The next settling cleans up."""
    gpu.unsettled = gpu.unsettled or isinstance(e, NvmlError)
    return _refused(gpu, on, str(e))
