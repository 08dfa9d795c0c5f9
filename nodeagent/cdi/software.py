"""Software shares in containers: the fraction libraries take the place of the driver's among the mounts.

Without them a share is refused rather than handed out unbounded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

import msgspec

from nodeagent.cdi.edits import Edits, Mount
from nodeagent.contract.allocation import Busy, Prepared
from nodeagent.nvml import Board, NvmlError
from nodeagent.shares.accounts import Books
from nodeagent.shares.host_shares import BOUNDED, limit_of
from nodeagent.shim import libraries, placing
from nodeagent.shim.libraries import Libraries


class SoftwareShares:
    """A folder per claim. Comes after the driver's mounts.

    books   of the shares; their directory must have the same path on the host
    boards  every GPU of the node. Raises NvmlError
    """

    def __init__(self, books: Books, boards: Callable[[], tuple[Board, ...]]) -> None:
        self._books = books
        self._boards = boards

    def check(self) -> None:
        return

    def apply(self, prepared: Prepared, edits: Edits) -> Edits:
        """Raises MissingLibraries where ours or the driver's are not there."""
        shares = [d.share for d in prepared.devices if d.share.backing in BOUNDED]
        if not shares:
            return edits
        try:
            boards = {board.uuid: board for board in self._boards()}
            gpus = [limit_of(share, boards[share.gpu], self._books.context(share.gpu)) for share in shares]
        except (NvmlError, KeyError) as e:
            raise Busy(f"the driver does not tell the memory of a GPU of claim {prepared.claim}: {e}") from e
        folder = self._books.directory / prepared.claim
        given = [
            placing.BindMount(hostPath=m.host_path, containerPath=m.container_path, options=list(m.options))
            for m in edits.mounts
        ]
        mounts = placing.container_mounts(folder, given)
        placing.place(folder, gpus, libraries.ours(), _drivers(edits), container=True)
        return msgspec.structs.replace(edits, mounts=msgspec.convert(mounts, tuple[Mount, ...]))

    def forget(self, claim: str) -> None:
        shutil.rmtree(self._books.directory / claim, ignore_errors=True)

    def remembered(self) -> Collection[str]:
        return {path.name for path in self._books.directory.glob("*")}


def _drivers(edits: Edits) -> Libraries:
    """The driver's libraries among the mounts; container_mounts has seen that they are there."""
    paths = [Path(m.host_path) for m in edits.mounts if PurePosixPath(m.container_path).name.startswith("lib")]
    cuda = next(path for path in paths if path.name.startswith("libcuda.so."))
    nvml = next(path for path in paths if path.name.startswith("libnvidia-ml.so."))
    return Libraries(cuda, nvml)
