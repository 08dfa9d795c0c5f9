"""Workload processes that outlive the control plane: a process group per claim, log and exit code in files.

A tiny shell launcher leads the group. Creating `<claim>.pid` with O_EXCL is the gate that lets a
claim's command start once, also after a kill in between; `<claim>.exit` appears by rename when the
command has ended. Every process of a claim is known by the claim in its environment, so that
daemons that left the group, and shells that `migctl exec` opened, are found too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from migctl.embedded.kubelet import logs
from nodeagent import untrusted
from nodeagent.contract import environment as variables
from nodeagent.shares import process_owner

KILLED = 128 + signal.SIGKILL
START_FAILED = 127
SWEEPS = 10
_NUMBER_BYTES = 32

# The launcher survives the TERM that its group gets (the trap), so that it can record the exit code.
# The shell's own noclobber makes the pid file the O_EXCL gate, and its own messages ("Terminated") stay out of the log.
LAUNCHER = f"""
set -C; echo $$ > "$1.pid" || exit 0; set +C
[ -z "${variables.CGROUP}" ] || echo $$ > "${variables.CGROUP}/cgroup.procs" || exit 126
trap : TERM INT HUP
base=$1; cd "$2"; shift 2
exec 3>&2 2>/dev/null
"$@" 2>&3 3>&-
code=$?
echo $code > "$base.exit.new" && mv "$base.exit.new" "$base.exit"
"""


@dataclass(frozen=True, slots=True)
class ClaimProcess:
    """The process group of one claim. `base`: path of its files without their endings."""

    claim: str
    base: Path

    @property
    def log(self) -> Path:
        """Output of all attempts of this pod, one after another."""
        return self.base.parent / "log"

    def start(self, command: Sequence[str], environment: Mapping[str, str], directory: str) -> int:
        """Start the command unless it was started before; the launcher's pid. Raises OSError."""
        if not os.path.isdir(directory):
            raise NotADirectoryError(f"there is no directory {directory}")
        self.base.parent.mkdir(parents=True, exist_ok=True)
        with logs.appending(self.log) as log:
            return os.posix_spawn(
                "/bin/sh",
                ["/bin/sh", "-c", LAUNCHER, "migctl-launcher", str(self.base), directory, *command],
                {**environment, variables.CLAIM: self.claim},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsid=True,
            )

    def started(self) -> bool:
        """Whether the command was started, however it ended."""
        return self.base.with_suffix(".pid").exists()

    def leader(self) -> int | None:
        """The living launcher's pid, checked to be this claim's and not a reused number."""
        try:
            pid = int(untrusted.read(self.base.with_suffix(".pid"), _NUMBER_BYTES))
        except (OSError, ValueError):
            return None
        return pid if process_owner.started_for(pid) == self.claim else None

    def exit_code(self) -> int:
        """The command's exit code; 137 where the launcher was killed before it wrote one."""
        try:
            return int(untrusted.read(self.base.with_suffix(".exit"), _NUMBER_BYTES))
        except (OSError, ValueError):
            return KILLED

    async def wait(self, launched: int | None = None) -> int:
        """The exit code, as soon as the command has ended.

        launched: the launcher just started here. It ended at once where an earlier one,
        started right before a kill -9, held the gate: then that one is waited for.
        """
        if launched is not None:
            await _ended(launched)
        leader = self.leader()
        if leader is not None:
            await _ended(leader)
        return self.exit_code()

    async def stop(self, grace_s: float) -> None:
        """End every process of the claim: TERM to the group, KILL to those that are left after `grace_s` seconds."""
        pid = self.leader()
        if pid is not None:
            _signal_group(pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await _ended(pid)
            except TimeoutError:
                _signal_group(pid, signal.SIGKILL)
        await asyncio.to_thread(self.sweep)

    def sweep(self) -> None:
        """Kill what is left of the claim outside its group, and what that forked meanwhile, until none is left.

        A process that even KILL does not end (stuck in the driver) is left: the agent sees it on the GPU.
        """
        for _ in range(SWEEPS):
            left = [p for p in psutil.process_iter() if process_owner.started_for(p.pid) == self.claim]
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=1.0)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


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
