"""Shares that the driver itself limits (R615): a limit on the GPU memory of the claim's own cgroup.

A process of this host is started in a cgroup of its claim, limited before it runs. A container has a cgroup
of its own, which is found by the processes in it and limited once they are there. A limit is set on a
cgroup only where every process in it is the claim's, and counts only when the driver reads the same back. It
comes on top of the libraries, which count the managed memory that the driver leaves out.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nodeagent.contract.allocation import GpuProcess
from nodeagent.contract.units import MIB
from nodeagent.gpu.inventory import ClaimOf
from nodeagent.gpu.managed_gpu import ManagedGpu
from nodeagent.gpu.shared_gpu import SHARED
from nodeagent.journal.records import Hold
from nodeagent.nvml import Nvml, NvmlError
from nodeagent.nvml.memory_limits import CGROUPS
from nodeagent.shares.claim_cgroups import OURS

_UNIFIED = re.compile(r"^0::(/.*)$", re.MULTILINE)

UnderLock = Callable[[str, Callable[[], bool]], bool]
"""Does something to a GPU, by UUID, under its lock. Raises Busy or Fenced."""


class DriverLimits:
    """Limits on the cgroups of this node's claims. Without a driver or the rights for it nothing is limited.

    host_processes  claims run as processes of this host: each gets a cgroup of its own
    cgroups, proc   where cgroup v2 and proc are mounted
    """

    def __init__(
        self,
        nvml: Nvml,
        claim_of: ClaimOf,
        *,
        host_processes: bool = False,
        cgroups: Path = CGROUPS,
        proc: Path = Path("/proc"),
    ) -> None:
        self._nvml, self._claim_of = nvml, claim_of
        self._host_processes, self._cgroups, self._proc = host_processes, cgroups, proc
        self._known: dict[str, bool] = {}
        self._limited: dict[tuple[str, str], set[Path]] = {}

    def is_supported(self, gpu: str) -> bool:
        """Whether the driver can limit memory on this GPU. Read once; needs the GPU's lock."""
        if gpu not in self._known:
            self._known[gpu] = self._nvml.limits_memory(gpu)
        return self._known[gpu]

    def is_limited(self, claim: str, gpu: str) -> bool:
        """Whether the driver limits this claim on this GPU now."""
        return bool(self._limited.get((claim, gpu)))

    def prepare(self, claim: str, holds: Iterable[Hold], under_lock: UnderLock, *, fresh: bool) -> Path | None:
        """The cgroup that the claim's processes must join, its limits set; None where there is none for them.

        fresh  nothing of the claim runs yet; later no cgroup is made, because what runs would stay outside
        """
        shares = [h for h in holds if h.share.backing in SHARED and self._known.get(h.share.gpu)]
        own = self._own(claim)
        if not shares or not self._host_processes or not (own.is_dir() or (fresh and self._make(own))):
            return None
        set_all = [under_lock(hold.share.gpu, functools.partial(self._limit, own, hold)) for hold in shares]
        if all(set_all):
            return own
        if fresh:  # what starts now stays outside, so that its limits would be said and not kept
            self.remove(claim, under_lock)
        return None

    def renew(self, gpu: ManagedGpu) -> None:
        """Limit again, after a start, the cgroups that this GPU's claims have. Needs the GPU's lock."""
        for hold in list(gpu.record.holds.values()):
            own = self._own(hold.claim)
            if hold.share.backing in SHARED and self.is_supported(gpu.uuid) and own.is_dir():
                self._limit(own, hold)

    def follow(self, processes: Iterable[GpuProcess], holds: Iterable[Hold]) -> None:
        """Limit the cgroups that claims' processes were found in. Needs the lock of their GPU."""
        shares = {(h.claim, h.share.gpu): h for h in holds if h.share.backing in SHARED}
        for process in processes:
            hold = shares.get((process.claim or "", process.gpu))
            if hold is not None and self.is_supported(process.gpu):
                cgroup = self._cgroup_of(process.pid)
                if cgroup is not None and self._belongs(cgroup, hold.claim):
                    self._limit(cgroup, hold)

    def remove(self, claim: str, under_lock: UnderLock) -> None:
        """Lift a released claim's limits. A limit on a removed cgroup went with it. Raises as `under_lock` does."""
        for key in [key for key in self._limited if key[0] == claim]:
            under_lock(key[1], functools.partial(self._clear, key))
        self._remove_own(claim)

    def remove_except(self, claims: Iterable[str]) -> None:
        """Remove the cgroups that an earlier run left of all other claims, and their limits with them."""
        with contextlib.suppress(OSError):
            for name in {path.name for path in (self._cgroups / OURS).iterdir() if path.is_dir()} - set(claims):
                self._remove_own(name)

    def _clear(self, key: tuple[str, str]) -> bool:
        for cgroup in self._limited.pop(key, ()):
            with contextlib.suppress(NvmlError):
                self._nvml.set_memory_limit(key[1], cgroup, None)
        return True

    def _remove_own(self, claim: str) -> None:
        with contextlib.suppress(OSError):
            self._own(claim).rmdir()

    def _own(self, claim: str) -> Path:
        return self._cgroups / OURS / claim

    def _make(self, own: Path) -> bool:
        try:
            own.mkdir(parents=True, exist_ok=True)
            # A controller must be on in every parent; without dmem in the kernel the driver counts by itself.
            for parent in (self._cgroups, own.parent):
                if "dmem" in (parent / "cgroup.controllers").read_text().split():
                    (parent / "cgroup.subtree_control").write_text("+dmem")
        except FileNotFoundError:
            return own.is_dir()
        except OSError:
            self._remove_own(own.name)
            return False
        return True

    def _limit(self, cgroup: Path, hold: Hold) -> bool:
        """Set a limit and read it back; one that does not read the same is cleared."""
        gpu, limit = hold.share.gpu, hold.share.memory_mib * MIB
        try:
            if self._nvml.memory_limit(gpu, cgroup).hard != limit:
                self._nvml.set_memory_limit(gpu, cgroup, limit)
            if self._nvml.memory_limit(gpu, cgroup).hard == limit:
                self._limited.setdefault((hold.claim, gpu), set()).add(cgroup)
                return True
            self._nvml.set_memory_limit(gpu, cgroup, None)
        except NvmlError:
            return False
        return False

    def _cgroup_of(self, pid: int) -> Path | None:
        try:
            found = _UNIFIED.search((self._proc / str(pid) / "cgroup").read_text(encoding="utf-8"))
        except OSError:
            return None
        return self._cgroups / found[1].lstrip("/") if found and found[1] != "/" else None

    def _belongs(self, cgroup: Path, claim: str) -> bool:
        """Whether all that runs in a cgroup is the claim's."""
        try:
            inside = list(_pids(cgroup))
        except (OSError, ValueError):
            return False
        return bool(inside) and all(self._claim_of(pid) == claim for pid in inside)


def _pids(cgroup: Path) -> Iterator[int]:
    """Of the cgroup and those below it."""
    for procs in (cgroup / "cgroup.procs", *cgroup.glob("*/**/cgroup.procs")):
        yield from map(int, procs.read_text(encoding="ascii").split())
