"""Software shares of processes of this host: the fraction libraries in front of the driver's.

In a container the runtime mounts the same libraries (nodeagent/cdi/software.py). They stand before the driver's own
limits too: they count what those leave out, and show the share as the GPU. Without the libraries a share
is refused, not given without a limit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from nodeagent.contract.units import MIB
from nodeagent.gpu.shared_gpu import SHARED
from nodeagent.journal.journal import NotRecorded
from nodeagent.journal.records import Hold
from nodeagent.nvml import GpuInfo
from nodeagent.shares.accounts import ShareAccounts
from nodeagent.shares.time_slices import ComputePolicy, time_slices
from nodeagent.shim import libraries, placing
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit
from solver.model.cluster import Gpu
from solver.model.demand import DeviceShare


class HostShares:
    """A folder with the libraries per claim that has a software share.

    ours, drivers  find our libraries and the driver's. Raise MissingLibraries
    compute        how the GPUs' time is divided; all but EVEN needs the gated libraries
    """

    def __init__(
        self,
        directory: Path,
        ours: Callable[[], Libraries] = libraries.ours,
        drivers: Callable[[], Libraries] = libraries.drivers,
        compute: ComputePolicy = ComputePolicy.EVEN,
    ) -> None:
        self._directory, self._ours, self._drivers, self.compute = directory, ours, drivers, compute
        self.accounts = ShareAccounts(directory)
        directory.mkdir(parents=True, exist_ok=True)

    def place(self, claim: str, holds: Iterable[Hold], infos: Mapping[str, GpuInfo]) -> dict[str, str]:
        """What the claim's processes need in their environment; empty without a software share.

        infos  by GPU UUID

        Raises MissingLibraries, or NotRecorded where the disk does not take it.
        """
        gpus = [
            limit_of(h.share, infos[h.share.gpu], self.accounts.context(h.share.gpu))
            for h in holds
            if h.share.backing in SHARED
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
        """Remove a claim that has no process any more; a folder that stays is removed at the next start."""
        shutil.rmtree(self._directory / claim, ignore_errors=True)

    def remove_except(self, claims: Iterable[str]) -> None:
        """Remove all other claims."""
        for folder in {path.name for path in self._directory.iterdir()} - set(claims):
            self.remove(folder)

    def divide_time(self, gpu: Gpu, launching: Collection[str]) -> None:
        """Give the claims on a GPU their time slices. `launching`: those that launch now."""
        portions = {part.claim: part.portion for part in gpu.parts}
        for claim, time_slice in time_slices(self.compute, portions, launching).items():
            self.accounts.set_time_slice(claim, gpu.uuid, time_slice)


def limit_of(share: DeviceShare, gpu_info: GpuInfo, context: int) -> GpuLimit:
    """A share's limit for the libraries; what the driver reserves on the GPU is charged in proportion.

    context  bytes that a CUDA context takes on the GPU
    """
    memory = share.memory_mib * MIB
    reserved = -(-gpu_info.reserved_mib * MIB * share.memory_mib // gpu_info.memory_mib)
    return GpuLimit(share.gpu, memory, min(context, memory // 4), reserved)
