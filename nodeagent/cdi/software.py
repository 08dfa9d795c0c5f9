"""Software shares in containers: the fraction libraries replace the driver's among the mounts.

Without the libraries a share is refused, not given without a limit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath

import msgspec

from nodeagent.cdi.edits import CdiMount, ContainerEdits
from nodeagent.contract.allocation import Busy, Prepared
from nodeagent.gpu.shared_gpu import SHARED
from nodeagent.nvml import GpuInfo, NvmlError
from nodeagent.shares.accounts import ShareAccounts
from nodeagent.shares.host_shares import limit_of
from nodeagent.shim import libraries, placing
from nodeagent.shim.libraries import Libraries


class SoftwareShares:
    """A folder per claim. Must come after the source of the driver's mounts.

    accounts  their directory must have the same path on the host
    gpus      every GPU of the node. Raises NvmlError
    """

    def __init__(self, accounts: ShareAccounts, gpus: Callable[[], tuple[GpuInfo, ...]]) -> None:
        self._accounts = accounts
        self._gpus = gpus

    def check(self) -> None:
        return

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        """Raises MissingLibraries where ours or the driver's are missing."""
        shares = [d.share for d in prepared.devices if d.share.backing in SHARED]
        if not shares:
            return edits
        try:
            infos = {gpu_info.uuid: gpu_info for gpu_info in self._gpus()}
            gpus = [limit_of(share, infos[share.gpu], self._accounts.context(share.gpu)) for share in shares]
        except (NvmlError, KeyError) as e:
            raise Busy(f"cannot read the memory of a GPU of claim {prepared.claim}: {e}") from e
        folder = self._accounts.directory / prepared.claim
        given = [
            placing.BindMount(hostPath=m.host_path, containerPath=m.container_path, options=list(m.options))
            for m in edits.mounts
        ]
        mounts = placing.container_mounts(folder, given)
        placing.place(folder, gpus, libraries.ours(), _drivers(edits), container=True)
        return msgspec.structs.replace(edits, mounts=msgspec.convert(mounts, tuple[CdiMount, ...]))

    def remove(self, claim: str) -> None:
        shutil.rmtree(self._accounts.directory / claim, ignore_errors=True)

    def claims(self) -> Collection[str]:
        return {path.name for path in self._accounts.directory.glob("*")}


def _drivers(edits: ContainerEdits) -> Libraries:
    """The driver's libraries among the mounts; container_mounts has seen that they are there."""
    paths = [Path(m.host_path) for m in edits.mounts if PurePosixPath(m.container_path).name.startswith("lib")]
    cuda = next(path for path in paths if path.name.startswith("libcuda.so."))
    nvml = next(path for path in paths if path.name.startswith("libnvidia-ml.so."))
    return Libraries(cuda, nvml)
