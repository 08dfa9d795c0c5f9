"""Bringing a GPU back to a state that can be explained, and fencing it while that fails."""

from __future__ import annotations

import contextlib

from nodeagent.contract.allocation import AgentError, Busy, Fenced, Unsupported
from nodeagent.gpu import mig_instances, mig_mode
from nodeagent.gpu.events import EventKind
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.nvml import InUse, NotPermitted, NotSupported, Nvml, NvmlError


def begin(nvml: Nvml, gpu: ManagedGpu) -> None:
    """The first settling after a start: quarantined instances get another chance, a wanted MIG mode comes back."""
    settle(nvml, gpu)
    for place in list(gpu.record.quarantined):
        if gpu.record.owned[place].uuid:
            gpu.journal.append(records.cleared(place))
    with contextlib.suppress(NvmlError):
        mig_mode.restore(nvml, gpu)


def settle(nvml: Nvml, gpu: ManagedGpu) -> None:
    """Raises Fenced where the GPU's state cannot be explained or repaired; it is tried again later."""
    begun = gpu.journal.record.intent
    if gpu.record.boot != gpu.boot:
        gpu.journal.append(records.boot(gpu.boot))
    try:
        mig_instances.settle(nvml, gpu)
    except NvmlError as e:
        gpu.unsettled = True
        gpu.close_off(f"its state cannot be settled: {e}")
        raise Fenced(f"GPU {gpu.uuid} is fenced: {gpu.fence}") from e
    gpu.close_off("")
    if begun is not None:
        gpu.tell(EventKind.SETTLED, claim=begun.claim, text="finished or undid what was begun")


def settle_if_needed(nvml: Nvml, gpu: ManagedGpu) -> None:
    """After trouble; where it fails the GPU is fenced, and nothing is raised."""
    if gpu.unsettled:
        with contextlib.suppress(AgentError):
            settle(nvml, gpu)


def explained(gpu: ManagedGpu, e: NvmlError) -> AgentError:
    """A driver's refusal as advice to the caller."""
    where = f"GPU {gpu.uuid} ({gpu.board.name})"
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
