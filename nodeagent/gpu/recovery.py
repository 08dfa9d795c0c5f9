"""Bringing a GPU back to a state that can be explained, and fencing it while that fails."""

from __future__ import annotations

import contextlib

from nodeagent.contract.allocation import AgentError, Busy, Fenced, Unsupported
from nodeagent.gpu import mig_instances, mig_mode
from nodeagent.gpu.events import EventKind
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.nvml import InUse, NotPermitted, NotSupported, Nvml, NvmlError


def recover_at_start(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Recover, lift quarantines, and set a desired MIG mode again that a boot has reset. Raises as `recover`."""
    recover(nvml, gpu)
    for placement in list(gpu.record.quarantined):
        if gpu.record.owned[placement].uuid:
            gpu.journal.append(records.unquarantine(placement))
    with contextlib.suppress(NvmlError):
        mig_mode.restore(nvml, gpu)


def recover(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Finish or undo what was interrupted, and lift the fence.

    Raises Fenced where the GPU's state cannot be explained or repaired; a later call tries again.
    """
    interrupted = gpu.journal.record.intent
    if gpu.record.boot != gpu.boot:
        gpu.journal.append(records.boot(gpu.boot))
    try:
        mig_instances.reconcile(nvml, gpu)
    except NvmlError as e:
        gpu.needs_recovery = True
        gpu.set_fence(f"its state cannot be recovered: {e}")
        raise Fenced(f"GPU {gpu.uuid} is fenced: {gpu.fence}") from e
    gpu.set_fence("")
    if interrupted is not None:
        gpu.notify(EventKind.RECOVERED, claim=interrupted.claim, text="an interrupted change was finished or undone")


def recover_if_needed(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Recover after a failure. Where that fails too the GPU is fenced, and nothing is raised."""
    if gpu.needs_recovery:
        with contextlib.suppress(AgentError):
            recover(nvml, gpu)


def as_agent_error(gpu: ManagedGpu, e: NvmlError) -> AgentError:
    """NVML's refusal as one of ours, with advice to the caller."""
    where = f"GPU {gpu.uuid} ({gpu.info.name})"
    if gpu.fence:
        return Fenced(f"{where} is fenced: {gpu.fence}")
    match e:
        case NotPermitted():
            return Unsupported(f"{where}: {e}; the node agent must run as root (CAP_SYS_ADMIN)")
        case NotSupported():
            return Unsupported(f"{where}: {e}")
        case InUse():
            return Busy(f"{where}: {e}; another program holds the GPU (a monitor such as DCGM?): try again")
        case _:
            return Busy(f"{where}: {e}; nothing was changed, try again")
