"""Whom the watchdog kills: the process that overstepped, while it is that process and ours to kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from nodeagent.upkeep.watchdog import Offence, Watchdog, WatchdogPolicy
from tests.limits import WAIT_S
from tests.nodeagent.machines import Machine, allocation, part


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def found(
    machine: Machine, pid: int, claim_of: Callable[[int], str | None], meanwhile: Callable[[], object] = lambda: None
) -> list[tuple[Offence, bool]]:
    """What a watchdog that stops finds the second time, of a process that uses too much for claim "c1"."""
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 9000, pid, "c1")
    report = agent.report()
    watchdog = Watchdog(WatchdogPolicy.STOP, claim_of)
    assert watchdog.check(report) == []
    meanwhile()
    return watchdog.check(report)


def test_a_process_that_ended_since_it_was_seen_was_not_stopped(
    machine: Machine, program: subprocess.Popen[bytes]
) -> None:
    def ends() -> None:
        program.kill()
        program.wait(WAIT_S)

    ((offence, stopped),) = found(machine, program.pid, lambda pid: "c1", ends)
    assert (offence.pid, stopped) == (program.pid, False)


def test_a_process_that_ends_while_its_claim_is_looked_up_was_not_stopped(
    machine: Machine, program: subprocess.Popen[bytes]
) -> None:
    def ends(pid: int) -> str:
        program.kill()
        program.wait(WAIT_S)
        return "c1"

    ((_, stopped),) = found(machine, program.pid, ends)
    assert not stopped


@pytest.mark.parametrize("owner", ["another", None])
def test_a_process_that_has_the_pid_by_now_is_left_alone(
    machine: Machine, program: subprocess.Popen[bytes], owner: str | None
) -> None:
    ((_, stopped),) = found(machine, program.pid, lambda pid: owner)
    assert (stopped, program.poll()) == (False, None)


@pytest.mark.parametrize("refused", ["pidfd_open", "pidfd_send_signal"])
def test_a_process_that_is_not_ours_to_kill_is_reported_and_the_checks_go_on(
    machine: Machine, program: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuse(*arguments: int) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os if refused == "pidfd_open" else signal, refused, refuse)
    ((offence, stopped),) = found(machine, program.pid, lambda pid: "c1")
    assert "uses 9000 MiB of its 8080 MiB" in offence.text
    assert (stopped, program.poll()) == (False, None)
