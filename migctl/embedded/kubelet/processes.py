"""Workload processes that outlive the control plane: a launcher per claim, log and exit code in files.

The launcher (launcher.py) leads a session of the claim's own and adopts what detaches itself from it, so that every
process of the claim is known by descent; which those are says nodeagent.shares.process_owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from migctl.embedded.kubelet import launcher, logs
from nodeagent import procfs, untrusted
from nodeagent.contract import environment as variables
from nodeagent.shares.claim_cgroups import ClaimCgroups
from nodeagent.shares.process_owner import ProcessOwners

KILLED = 128 + signal.SIGKILL
START_FAILED = 127
LAUNCHER = "migctl-launcher"
SWEEPS = 10
_SWEEP_S = 1.0
_SWEEP_POLL_S = 0.01
_POLL_S = 0.05
_BEGIN_POLL_S = 0.002
_BYTES = 128
_WRITTEN_WITHIN = 40  # polls


@dataclass(frozen=True, slots=True)
class Processes:
    """How the processes of this machine's claims are found and kept together. `boot`: the running boot's name."""

    owners: ProcessOwners = field(default_factory=lambda: ProcessOwners(launches=True))
    cgroups: ClaimCgroups = field(default_factory=lambda: ClaimCgroups(()))
    boot: str = ""

    def join(self, claim: str, pid: int) -> None:
        """Count a process, and what it starts from now on, among those of a claim: it ends with them."""
        if self.owners.joined(claim, pid):
            self.cgroups.join(claim, pid)


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launcher wrote of itself. `start`: clock ticks since boot; `boot`: the agent's name of the boot."""

    pid: int
    start: int
    boot: str

    def is_alive(self) -> bool:
        """Whether this very process lives, and not another one with its number."""
        return procfs.start_time(self.pid) == self.start


@dataclass(frozen=True, slots=True)
class ClaimProcess:
    """The processes of one claim. `base`: path of its files without their endings."""

    claim: str
    base: Path
    processes: Processes = field(default_factory=Processes)

    @property
    def log(self) -> Path:
        """Output of all attempts of this pod, one after another."""
        return self.base.parent / "log"

    def start(self, command: Sequence[str], environment: Mapping[str, str], directory: str) -> int:
        """Start the command unless it was started before; the launcher's pid. Raises OSError."""
        if not os.path.isdir(directory):
            raise NotADirectoryError(f"there is no directory {directory}")
        self.base.parent.mkdir(parents=True, exist_ok=True)
        cgroup = environment.get(variables.CGROUP) or self.processes.cgroups.make(self.claim) or ""
        program = [sys.executable, "-I", "-S", launcher.__file__, LAUNCHER]
        own = {variables.CLAIM: self.claim}
        with logs.appending(self.log) as log, _in_memory({**environment, **own}) as given:
            pid = os.posix_spawn(
                program[0],
                [*program, str(self.base), self.processes.boot, directory, str(cgroup), *command],
                own,  # not the command's, which may be meant for another Python
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                    (os.POSIX_SPAWN_DUP2, given, launcher.ENVIRONMENT),
                ],
                setsid=True,
            )
        started = procfs.start_time(pid)
        if started is not None:
            self.processes.owners.started(self.claim, pid, started)
        return pid

    def started(self) -> bool:
        """Whether the command was started, however it ended."""
        return self.base.with_suffix(".pid").exists()

    def launched(self) -> Launched | None:
        """What the launcher wrote when it began; None where it wrote nothing yet."""
        try:
            pid, start, *boot = untrusted.read(self.base.with_suffix(".pid"), _BYTES).decode().split(maxsplit=2)
            found = Launched(int(pid), int(start), "".join(boot).rstrip())
        except (OSError, ValueError):
            return None
        if found.boot == self.processes.boot:
            self.processes.owners.started(self.claim, found.pid, found.start)
        return found

    async def begun(self, pid: int) -> None:
        """Wait until a launcher just started has written that it begins, or has ended."""
        while self.launched() is None and procfs.start_time(pid) is not None:
            await asyncio.sleep(_BEGIN_POLL_S)

    def leader(self) -> int | None:
        """The living launcher's pid, checked to be this claim's and not a reused number."""
        found = self.launched()
        return found.pid if found is not None and found.boot == self.processes.boot and found.is_alive() else None

    def exit_code(self) -> int:
        """The command's exit code; 137 where the launcher was killed before it wrote one."""
        return KILLED if (code := self._written_code()) is None else code

    def was_cut_off(self) -> bool:
        """Whether the machine went down under the command: it wrote no exit code, and began in another boot.

        Also where no word of its start is left: a loss of power takes what was written last.
        """
        found = self.launched()
        return self._written_code() is None and (found is None or found.boot != self.processes.boot)

    async def wait(self, launched: int | None = None) -> int:
        """The exit code, as soon as the command has ended.

        launched: the launcher just started here. It ended at once where an earlier one,
        started right before a kill -9, held the gate: then that one is waited for.
        """
        if launched is not None:
            await _ended(launched)
        for _ in range(_WRITTEN_WITHIN):
            if not self.started() or self.launched() is not None:
                break
            await asyncio.sleep(_POLL_S)  # it has made the file this moment
        leader = self.leader()
        if leader is not None:
            await _ended(leader)
        return self.exit_code()

    async def stop(self, grace_s: float) -> list[int]:
        """End every process of the claim: TERM, then KILL after `grace_s` seconds; those that live on all the same.

        A stopped process is continued, or it would not hear the TERM.
        """
        _signal_all(await asyncio.to_thread(self.living), signal.SIGTERM, signal.SIGCONT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                if (pid := self.leader()) is not None:
                    await _ended(pid)
                while await asyncio.to_thread(self.living):
                    await asyncio.sleep(_POLL_S)
        return await asyncio.to_thread(self.sweep)

    def living(self) -> list[int]:
        """Every live process of the claim, its launcher among them."""
        self.launched()
        return self.processes.owners.processes_of(self.claim)

    def sweep(self) -> list[int]:
        """Kill what is left of the claim, and what that forks meanwhile; what lives on all the same.

        First all are stopped, so that none forks away. A process that even KILL does not end hangs in the driver.
        """
        self.processes.cgroups.kill(self.claim)
        stopped: set[int] = set()
        for _ in range(SWEEPS):
            left = set(self.living())
            while fresh := left - stopped:
                _signal_all(fresh, signal.SIGSTOP)
                stopped |= fresh
                left = set(self.living())
            if not left:
                break
            _signal_all(left, signal.SIGKILL)
            _wait_ended(left)
        left = set(self.living())
        if not left:
            self.processes.cgroups.remove(self.claim)
        return sorted(left)

    def _written_code(self) -> int | None:
        try:
            return int(untrusted.read(self.base.with_suffix(".exit"), _BYTES))
        except (OSError, ValueError):
            return None


@contextlib.contextmanager
def _in_memory(environment: Mapping[str, str]) -> Iterator[int]:
    """A descriptor that an environment can be read from, whatever its size."""
    descriptor = os.memfd_create("environment", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in environment.items()))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _signal_all(pids: Iterable[int], *numbers: signal.Signals) -> None:
    for pid in pids:
        for number in numbers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _wait_ended(pids: Iterable[int]) -> None:
    """Wait until none of them lives, for a while."""
    deadline = time.monotonic() + _SWEEP_S
    while any(procfs.start_time(pid) is not None for pid in pids) and time.monotonic() < deadline:
        time.sleep(_SWEEP_POLL_S)


async def _ended(pid: int) -> None:
    """Wait for a process to end, and reap it where it is our child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
