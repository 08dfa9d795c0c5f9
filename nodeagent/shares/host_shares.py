"""Keeps a workload of this machine inside its software share: the fraction libraries in front of the driver's.

For processes on the host; in a container the runtime mounts the same libraries. Without them a
share is refused rather than handed out unbounded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from nodeagent.journal.journal import NotRecorded
from nodeagent.journal.records import Hold
from nodeagent.nvml import GpuInfo
from nodeagent.shares.accounts import ShareAccounts
from nodeagent.shares.time_slices import ComputePolicy, time_slices
from nodeagent.shim import libraries, placing
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit
from solver.model.cluster import Backing, Gpu
from solver.model.demand import DeviceShare

_MIB = 1 << 20

BOUNDED = (Backing.SOFTWARE, Backing.DRIVER_LIMIT)
"""The libraries count what the driver's own limit leaves out, and show the share as the GPU."""


class HostShares:
    """A folder with the libraries per claim that has a software share.

    ours, drivers  find our libraries and the driver's. Raise MissingLibraries
    compute        how the GPUs' time is divided; all but EVEN needs the libraries that hold launches back
    """

    def __init__(
        self,
        directory: Path,
        ours: Callable[[], Libraries] = libraries.ours,
        drivers: Callable[[], Libraries] = libraries.drivers,
        compute: ComputePolicy = ComputePolicy.EVEN,
    ) -> None:
        self._directory, self._ours, self._drivers, self.compute = directory, ours, drivers, compute
        self.books = ShareAccounts(directory)
        directory.mkdir(parents=True, exist_ok=True)

    def place(self, claim: str, holds: Iterable[Hold], boards: Mapping[str, GpuInfo]) -> dict[str, str]:
        """What the claim's processes need in their environment; empty without a software share.

        Raises MissingLibraries, or NotRecorded where the disk does not take it. `boards`: by GPU UUID.
        """
        gpus = [
            limit_of(h.share, boards[h.share.gpu], self.books.context(h.share.gpu))
            for h in holds
            if h.share.backing in BOUNDED
        ]
        if not gpus:
            return {}
        folder = self._directory / claim
        try:
            placing.place(folder, gpus, self._ours(), self._drivers())
        except OSError as e:
            raise NotRecorded(f"cannot write {folder}: {e.strerror}; free some space") from e
        return placing.environment(folder, os.environ)

    def remove(self, claim: str) -> None:
        """Nobody runs in the share any more; a folder that stays is removed at the next start."""
        shutil.rmtree(self._directory / claim, ignore_errors=True)

    def keep_only(self, claims: Iterable[str]) -> None:
        for folder in {path.name for path in self._directory.iterdir()} - set(claims):
            self.remove(folder)

    def divide(self, gpu: Gpu, busy: Collection[str]) -> None:
        """Give the claims on a GPU their turns."""
        portions = {part.claim: part.portion for part in gpu.parts}
        for claim, turn in time_slices(self.compute, portions, busy).items():
            self.books.set_turn(claim, gpu.uuid, turn)


def limit_of(share: DeviceShare, board: GpuInfo, context: int) -> GpuLimit:
    """What the libraries are told of a share of a board; it bears its part of what the driver keeps for itself.

    context  bytes that a CUDA context takes on the GPU
    """
    memory = share.memory_mib * _MIB
    reserved = -(-board.reserved_mib * _MIB * share.memory_mib // board.memory_mib)
    return GpuLimit(share.gpu, memory, min(context, memory // 4), reserved)
