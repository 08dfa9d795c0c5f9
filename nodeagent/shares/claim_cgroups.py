"""A cgroup of its own for each claim that runs as processes of this host, where one may be made.

A process cannot leave its cgroup without the right to write to another one, and `cgroup.kill` (Linux 5.14) ends all
that is in it at once, however fast that forks. One may be made by root, and below a cgroup that was delegated to the
user (systemd: Delegate=yes, or a service of `systemctl --user`). Source: Documentation/admin-guide/cgroup-v2.rst of
Linux.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from nodeagent import procfs

OURS = "migctl"
_MOUNT = re.compile(r"^\S+ \S+ \S+ (\S+) (\S+) .*- cgroup2 ", re.MULTILINE)
_UNIFIED = re.compile(r"^0::(/.*)$", re.MULTILINE)


class ClaimCgroups:
    """A cgroup per claim below the first of `parents`. Without one none can be made, and every call finds nothing.

    The others are looked at too: a claim that the driver limits has its cgroup below the root's (driver_limits.py).
    """

    def __init__(self, parents: Sequence[Path]) -> None:
        self._parents = tuple(dict.fromkeys(parents))

    @classmethod
    def of_this_process(cls) -> ClaimCgroups:
        """Below this process's own cgroup, so that what bounds it bounds the claims too; else below the root's."""
        mount = mounted()
        if mount is None:
            return cls(())
        own = _UNIFIED.search(procfs.cgroups(os.getpid()))
        parents = (mount / own[1].lstrip("/") if own else mount, mount)
        return cls([parent for parent in parents if _may_be_used(parent)])

    def make(self, claim: str) -> Path | None:
        """The claim's cgroup, made where it is missing; None where there can be none."""
        if not self._parents:
            return None
        own = self._parents[0] / OURS / claim
        try:
            own.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            return None
        return own

    def join(self, claim: str, pid: int) -> None:
        """Move a process into the claim's cgroup, where there is one and that is allowed."""
        for own in self._own(claim):
            with contextlib.suppress(OSError):
                (own / "cgroup.procs").write_text(str(pid))
                return

    def kill(self, claim: str) -> None:
        """End every process in the claim's cgroup, those that fork meanwhile too."""
        for own in self._own(claim):
            with contextlib.suppress(OSError):
                (own / "cgroup.kill").write_text("1")

    def remove(self, claim: str) -> None:
        """Remove the cgroup of a claim of which nothing runs, with those that its programs made in it."""
        for own in self._own(claim):
            for folder, _, _ in os.walk(own, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def remove_except(self, claims: Collection[str]) -> None:
        """Remove what an earlier run left of all other claims."""
        for claim in set(self._claims()) - set(claims):
            self.remove(claim)

    def _own(self, claim: str) -> list[Path]:
        return [own for parent in self._parents if (own := parent / OURS / claim).is_dir()]

    def _claims(self) -> Iterator[str]:
        for parent in self._parents:
            with contextlib.suppress(OSError):
                yield from (path.name for path in (parent / OURS).iterdir() if path.is_dir())


def mounted(mounts: Path = Path("/proc/self/mountinfo")) -> Path | None:
    """Where cgroup v2 is mounted whole; None: nowhere."""
    try:
        text = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((Path(path) for root, path in _MOUNT.findall(text) if root == "/"), None)


def _may_be_used(parent: Path) -> bool:
    """Whether processes of `parent` may be moved below it: its list of processes can be written."""
    return os.access(parent, os.W_OK) and os.access(parent / "cgroup.procs", os.W_OK)
