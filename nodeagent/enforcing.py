"""Keeps a workload of this machine inside its software share: the fraction libraries in front of the driver's.

For processes on the host; in a container the runtime mounts the same libraries. Without them a
share is refused rather than handed out unbounded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from nodeagent.intents import NotRecorded
from nodeagent.records import Hold
from nodeagent.shim import libraries, placing
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit
from solver.model.cluster import Backing

_MIB = 1 << 20
_CONTEXT = 512 * _MIB  # what a CUDA context takes on a data-centre GPU, until a measured figure replaces it


class HostShares:
    """A folder with the libraries per claim that has a software share.

    ours, drivers  find our libraries and the driver's. Raise MissingLibraries
    """

    def __init__(
        self,
        directory: Path,
        ours: Callable[[], Libraries] = libraries.ours,
        drivers: Callable[[], Libraries] = libraries.drivers,
    ) -> None:
        self._directory, self._ours, self._drivers = directory, ours, drivers
        directory.mkdir(parents=True, exist_ok=True)

    def place(self, claim: str, holds: Iterable[Hold]) -> dict[str, str]:
        """What the claim's processes need in their environment; empty without a software share.

        Raises MissingLibraries, or NotRecorded where the disk does not take it.
        """
        gpus = [_limit(h) for h in holds if h.share.backing is Backing.SOFTWARE]
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


def _limit(hold: Hold) -> GpuLimit:
    memory = hold.share.memory_mib * _MIB
    return GpuLimit(hold.share.gpu, memory, min(_CONTEXT, memory // 4))
