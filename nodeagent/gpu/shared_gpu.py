"""Software shares of a GPU without MIG: who has how much, and the limits file per claim.

The limit is enforced from the file (nodeagent/contract/limits_file.py), and `nvidia-smi` inside the workload shows
it. The records are the truth; the files are written again from them at every start.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nodeagent.contract import limits_file
from nodeagent.contract.allocation import Allocation, Busy
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.journal import records
from nodeagent.journal.durable import replace
from nodeagent.journal.journal import NotRecorded
from nodeagent.journal.records import Hold
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

SHARED = (Backing.SOFTWARE, Backing.DRIVER_LIMIT)
"""Backings of shares that stand beside others on one GPU."""


def prepare(gpu: ManagedGpu, allocation: Allocation, share: DeviceShare) -> str:
    """Hold a whole GPU or a part of it. Returns the GPU's UUID. Raises Busy where it is taken."""
    others = [h for h in gpu.record.holds.values() if h.claim != allocation.claim]
    for other in others:
        if Backing.WHOLE in (share.backing, other.share.backing):
            raise Busy(f"GPU {gpu.uuid} is still held by {other.name}: try again when it has stopped")
    taken = sum(h.share.memory_mib for h in others)
    if taken + share.memory_mib > gpu.info.memory_mib:
        raise Busy(
            f"GPU {gpu.uuid} has {gpu.info.memory_mib - taken} MiB free of {gpu.info.memory_mib}, "
            f"{share.memory_mib} MiB are needed: try again when {others[0].name if others else 'another'} has stopped"
        )
    gpu.journal.append(records.hold(Hold.of(allocation, share, gpu.uuid)))
    return gpu.uuid


class LimitsFiles:
    """One file per claim with software shares, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def path(self, claim: str) -> Path:
        return self._directory / f"{claim}.json"

    def write(self, claim: str, holds: Iterable[Hold]) -> Path | None:
        """Write a claim's file where it differs. None where the claim has no software share. Raises NotRecorded."""
        shares = [h.share for h in holds if h.share.backing in SHARED]
        if not shares:
            return None
        text = limits_file.text(claim, shares)
        try:
            if not self.path(claim).exists() or self.path(claim).read_text(encoding="utf-8") != text:
                replace(self.path(claim), text.encode(), mode=0o644)
        except OSError as e:
            raise NotRecorded(f"cannot write {self.path(claim)}: {e.strerror}; free some space") from e
        return self.path(claim)

    def remove(self, claim: str) -> None:
        """Raises NotRecorded."""
        _remove(self.path(claim))

    def remove_except(self, claims: Iterable[str]) -> None:
        """Remove the files of all other claims. Raises NotRecorded."""
        current = {self.path(claim) for claim in claims}
        for path in self._directory.iterdir():
            if path not in current:
                _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as e:
        raise NotRecorded(f"cannot remove {path}: {e.strerror}; try again") from e
