"""Which claim a process belongs to: the only module that decides it.

What a program can forge counts least. In this order:

1. the cgroup: one of the claim's own (claim_cgroups.py), or that of a pod with one claim; a process cannot leave it
2. descent, session and process group: of the launcher that was started for the claim; descent: of a program that was
   run beside it
3. what was found earlier of this very process, by pid and start time
4. the accounts of a software share that it has mapped
5. its container, where a process of that was told before: of a pod whose containers have a request each
6. the claim in its environment, or its nearest ancestor's: a hint, which programs that rename themselves overwrite

Of a claim with several requests, a process belongs to one of these (nodeagent/contract/holders.py).
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from nodeagent import procfs
from nodeagent.contract import environment
from nodeagent.gpu.inventory import NO_CLAIM
from nodeagent.procfs import ProcessStat
from nodeagent.shares.claim_cgroups import OURS
from nodeagent.shim import region

_DEPTH = 64  # of ancestors that are looked at
_FORGET_ABOVE = 4096  # remembered processes, before those that have ended are dropped
_OF_A_CLAIM = re.compile(rf"/{OURS}/([0-9A-Za-z][0-9A-Za-z-]*)(?:/|$)", re.MULTILINE)
_OF_A_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_CONTAINER = re.compile(_OF_A_POD.pattern + r"[^/\n]*/([^/\n]+)")

StatOf = Callable[[int], ProcessStat | None]


class ProcessOwners:
    """Whose the processes of this host are. Safe to call from any number of threads.

    accounts   where the accounts of software shares are, a folder per claim
    launches   claims run as processes that are started through `started`: what cannot be connected with one is
               nobody's. Otherwise they run in pods, and what runs in none is nobody's
    """

    def __init__(self, accounts: Path | None = None, *, launches: bool = False) -> None:
        self._accounts, self._launches = accounts, launches
        self._launchers: dict[int, tuple[int, str]] = {}
        self._beside: dict[int, tuple[int, str]] = {}
        self._pods: dict[str, set[str]] = {}
        self._known: dict[tuple[int, int], str] = {}
        self._containers: dict[str, str] = {}
        self._lock = threading.Lock()

    def started(self, claim: str, pid: int, start: int) -> None:
        """Note the launcher that leads a claim's session, also of one that has ended since."""
        with self._lock:
            self._launchers[pid] = (start, claim)

    def joined(self, claim: str, pid: int) -> bool:
        """Note a process that becomes a program of a claim beside its own; False where there is no such process."""
        found = procfs.stat(pid) if pid > 1 else None
        if found is None:
            return False
        with self._lock:
            if len(self._beside) > _FORGET_ABOVE:
                self._beside = {
                    number: known
                    for number, known in self._beside.items()
                    if (now := procfs.stat(number)) is not None and now.start == known[0]
                }
            self._beside[pid] = (found.start, claim)
        return True

    def runs_in(self, claim: str, pods: Collection[str]) -> None:
        """Note the uids of the pods that use a claim."""
        with self._lock:
            for pod in pods:
                self._pods.setdefault(pod, set()).add(claim)

    def forget(self, claim: str) -> None:
        """Drop what was noted of a claim that has ended."""
        with self._lock:
            self._launchers = {pid: known for pid, known in self._launchers.items() if known[1] != claim}
            self._beside = {pid: known for pid, known in self._beside.items() if known[1] != claim}
            self._pods = {pod: left for pod, claims in self._pods.items() if (left := claims - {claim})}
            self._known = {process: owner for process, owner in self._known.items() if owner != claim}
            self._containers = {name: owner for name, owner in self._containers.items() if owner != claim}

    def claim_of(self, pid: int) -> str | None:
        """The uid of a process's claim; NO_CLAIM where it belongs to none, None where that cannot be told."""
        return self._owner(pid, _Look(procfs.stat, self._accounts))

    def processes_of(self, claim: str) -> list[int]:
        """Every live process of a claim on this host."""
        return [pid for pid, owner in self._all() if owner == claim]

    def claims_with_processes(self) -> frozenset[str]:
        """Uids of the claims that a live process of this host belongs to."""
        return frozenset(owner for _, owner in self._all() if owner)

    def remember(self) -> None:
        """Look whom the launchers lead, so that a process that leaves its session and its launcher later is known."""
        with self._lock:
            if not self._launchers and not self._beside:
                return
        table = _table()
        for pid, found in table.items():
            owner = self._by_launcher(list(_line(pid, table.get)), table.get)
            if owner is not None:
                self._remember(pid, found, owner)

    def _all(self) -> Iterator[tuple[int, str | None]]:
        table = _table()
        look = _Look(table.get, self._accounts)
        for pid in table:
            yield pid, self._owner(pid, look)

    def _owner(self, pid: int, look: _Look) -> str | None:
        line = list(_line(pid, look.stat))
        if not line:
            return None
        found, cgroups = line[0][1], procfs.cgroups(pid)
        owner = (
            self._by_cgroup(cgroups)
            or self._by_launcher(line, look.stat)
            or self._known.get((pid, found.start))
            or look.by_region(pid)
            or self._containers.get(_container(cgroups))
            or self._by_environment(line, cgroups, look)
        )
        if owner:
            self._remember(pid, found, owner)
            if len(self._claims_of_pod(cgroups)) > 1:
                with self._lock:
                    self._containers[_container(cgroups)] = owner
            return owner
        return NO_CLAIM if self._launches or not _OF_A_POD.search(cgroups) else None

    def _by_cgroup(self, cgroups: str) -> str | None:
        found = _OF_A_CLAIM.search(cgroups)
        if found:
            return found[1]
        claims = self._claims_of_pod(cgroups)
        return next(iter(claims)) if len(claims) == 1 else None

    def _claims_of_pod(self, cgroups: str) -> Collection[str]:
        found = _OF_A_POD.search(cgroups)
        with self._lock:
            return tuple(self._pods.get(found[1].replace("_", "-"), ())) if found else ()

    def _by_launcher(self, line: Collection[tuple[int, ProcessStat]], stat_of: StatOf) -> str | None:
        """By an ancestor, or the session or group of one: they keep the launcher's number when it has ended.

        A program beside a claim's own leads nobody but its children: its session and group are its user's.
        """
        for pid, found in line:
            beside = self._beside.get(pid)
            if beside is not None and beside[0] == found.start:
                return beside[1]
            for number in (pid, found.session, found.group):
                known = self._launchers.get(number)
                if known is None:
                    continue
                now = stat_of(number)
                if now is None or now.start == known[0]:
                    return known[1]
        return None

    def _by_environment(self, line: Collection[tuple[int, ProcessStat]], cgroups: str, look: _Look) -> str | None:
        """A pod's process is not believed that it belongs to a claim of another pod."""
        of_pod = self._claims_of_pod(cgroups)
        claim = next((claim for pid, _ in line if (claim := look.variable(pid)) is not None), None)
        return claim if not of_pod or claim in of_pod else None

    def _remember(self, pid: int, found: ProcessStat, owner: str) -> None:
        with self._lock:
            if len(self._known) > _FORGET_ABOVE:
                self._known = {
                    (known, start): claim
                    for (known, start), claim in self._known.items()
                    if (now := procfs.stat(known)) is not None and now.start == start
                }
            self._known[pid, found.start] = owner


class _Look:
    """One look at many processes: what is read of several of them is read once."""

    def __init__(self, stat: StatOf, accounts: Path | None) -> None:
        self.stat, self._accounts = stat, accounts
        self._variables: dict[int, str | None] = {}

    def variable(self, pid: int) -> str | None:
        """The claim in a process's own environment."""
        if pid not in self._variables:
            try:
                self._variables[pid] = procfs.variable(pid, environment.CLAIM)
            except OSError:
                self._variables[pid] = None
        return self._variables[pid]

    def by_region(self, pid: int) -> str | None:
        """The claim whose accounts a process has mapped."""
        found = procfs.mapped(pid, self._regions.keys()) if self._regions else None
        return None if found is None else self._regions[found]

    @functools.cached_property
    def _regions(self) -> dict[tuple[int, int], str]:
        """Claims by device and inode of their accounts, where a live process has a slot in those."""
        found = {}
        for path in self._accounts.glob("*/accounts/region") if self._accounts else ():
            with contextlib.suppress(OSError, ValueError):
                status = path.lstat()
                if region.holders(path):
                    found[status.st_dev, status.st_ino] = path.parts[-3]
        return found


def _container(cgroups: str) -> str:
    """The name of the container's own cgroup; "" outside of pods."""
    found = _CONTAINER.search(cgroups)
    return found[2] if found else ""


def _table() -> dict[int, ProcessStat]:
    """Every live process. A zombie holds nothing and is left out."""
    found = {pid: procfs.stat(pid) for pid in procfs.pids()}
    return {pid: now for pid, now in found.items() if now is not None and not now.is_zombie}


def _line(pid: int, stat_of: StatOf) -> Iterator[tuple[int, ProcessStat]]:
    """A process and its ancestors, nearest first, without the first process of all."""
    for _ in range(_DEPTH):
        found = stat_of(pid) if pid > 1 else None
        if found is None:
            return
        yield pid, found
        pid = found.parent
