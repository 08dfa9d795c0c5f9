"""SIGKILL for `migctl up` at any of its changes, then `up` again: workloads, instances and processes agree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from subprocess import CompletedProcess

import psutil
import pytest

from migctl.backends.protocol import ControlPlaneError
from migctl.embedded.daemon import READY
from migctl.objects import Phase, Workload
from tests.depth import DEPTH, Depth, sampled
from tests.e2e.agreement import disagreement
from tests.e2e.embedded import HOLD, Embedded
from tests.e2e.survival.doomed import OPERATIONS, Doom, changes
from tests.limits import WAIT_S

SIMULATED = "a100-40gb=1,v100=1"
Requests = tuple[tuple[str, str], tuple[str, str]]
REQUESTS: list[Requests] = [
    (("--mig-profile", "2g.10gb"), ("-g", "0.3")),
    (("--mig-profile", "1g.5gb"), ("--gpu-memory", "4GB")),
    (("--mig-profile", "3g.20gb"), ("-g", "0.5")),
]
"""What two people ask for at once."""
MOST_ROUNDS = 5
"""Until a round takes the change that it is to be killed at: some depend on whose work comes first."""
EVERY = 9 if DEPTH is Depth.SAMPLE else 3
"""One in so many kill points is met; in a sweep, all of them by the three requests together."""


def settled(one: Embedded, names: list[str]) -> None:
    """Everything that fits runs, and objects, report and processes agree."""

    def look() -> bool:
        return one.names() == sorted(names) and not disagreement(one)

    try:
        one.until("objects, report and processes agree", look)
    except AssertionError as error:
        raise AssertionError(f"{disagreement(one)}\n{error}") from error


def doomed_up(one: Embedded) -> subprocess.Popen[bytes]:
    """A `migctl up` that can be doomed, once it is ready."""
    reading, writing = os.pipe()
    with one.log.open("ab") as log, os.fdopen(reading, "rb") as ready:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.survival.doomed", str(writing)],
            env=one.environment,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        assert ready.read() == READY
    return process


class Rounds:
    """Rounds of the same work on one home: two workloads come, and the two that run go. `migctl up` may be doomed."""

    def __init__(self, one: Embedded, requests: Requests) -> None:
        self._one, self._requests = one, requests
        self._number = 0
        self._old: list[str] = []
        self._new: list[str] = []
        one.ok("down")
        self._process = doomed_up(one)
        self._run_two()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_S)

    def undisturbed(self) -> list[str]:
        """Two rounds to their ends; the kinds of change that both took, each of which the next rounds take too."""
        return sorted(self._taken() & self._taken())

    def _taken(self) -> set[str]:
        """The kinds of change of one round.

        Of the commits, those that name a workload of the round: what is derived may be the same before and after.
        """
        self._begin()
        before = len(changes(self._one.home))
        self._work()
        settled(self._one, self._new)
        made = " ".join(changes(self._one.home)[before:])
        for role, names in (("NEW", self._new), ("OLD", self._old)):
            for name in names:
                made = made.replace(name, role)
        commits = re.findall(r"\w+ (?:workloads|claims)/(?:NEW|OLD)", made)
        return {*commits, *(name for name in OPERATIONS if f"{name} " in made)}

    def killed(self, kind: str, done: bool) -> None:
        """A round killed at its first change of a kind, before it is made or once it is, and ended by the next `up`."""
        for _ in range(MOST_ROUNDS):
            self._begin()
            doom = Doom(kind.replace("NEW", self._new[0][:-1]).replace("OLD", self._old[0][:-1]), done)
            doom.write(self._one.home)
            submitted, deleted = self._work()
            self._one.until("it was killed, or the round is over", lambda: self._dead() or self._over())
            if self._dead():
                break
            doom.avert(self._one.home)
        else:
            raise AssertionError(f"no round took the change {kind!r}")
        assert self._process.wait(WAIT_S) == -signal.SIGKILL
        assert doom.text in changes(self._one.home)[-1], "it was not killed at a change of this round's work"
        doom.avert(self._one.home)
        self._process = doomed_up(self._one)
        kept = {workload.meta.name for workload in self._one.look(Workload) if workload.meta.deleting is None}
        assert submitted <= kept, "a workload that was acknowledged is lost"
        assert not deleted & kept, "a deletion that was acknowledged is lost"
        settled(self._one, sorted(kept))
        if kept != set(self._new):
            self._one.delete_all()
            self._run_two()

    def _dead(self) -> bool:
        return self._process.poll() is not None

    def _over(self) -> bool:
        """Whether the round has come to its end without the change."""
        try:
            return self._one.names() == sorted(self._new) and not disagreement(self._one)
        except (ControlPlaneError, OSError):
            return False

    def _begin(self) -> None:
        self._number += 1
        self._old, self._new = self._new, [f"job-{self._number}-{i}" for i in range(2)]

    def _work(self) -> tuple[set[str], set[str]]:
        """The names whose submission was acknowledged, and those whose deletion was."""
        with ThreadPoolExecutor() as people:
            submitted = {name: people.submit(self._submit, name) for name in self._new}
            deleted = {name: people.submit(self._one.run, "delete", name) for name in self._old}
        return _acknowledged(submitted), _acknowledged(deleted)

    def _submit(self, name: str) -> CompletedProcess[str]:
        return self._one.run("submit", name, *self._requests[int(name[-1])], *HOLD)

    def _run_two(self) -> None:
        self._begin()
        for name in self._new:
            assert self._submit(name).returncode == 0
        settled(self._one, self._new)


def _acknowledged(answers: Mapping[str, Future[CompletedProcess[str]]]) -> set[str]:
    return {name for name, answer in answers.items() if answer.result().returncode == 0}


@pytest.mark.parametrize("number", sampled(list(range(len(REQUESTS))), 3))
def test_killed_at_each_kind_of_change_and_started_again_nothing_is_lost(
    embedded: Callable[[str], Embedded], number: int
) -> None:
    with closing(Rounds(embedded(SIMULATED), REQUESTS[number])) as rounds:
        points = [(kind, done) for kind in rounds.undisturbed() for done in (False, True)]
        assert len(points) > EVERY
        for kind, done in points[number::EVERY]:
            rounds.killed(kind, done)


def test_up_returns_though_it_starts_a_workload_that_was_placed_before_the_kill(
    embedded: Callable[[str], Embedded],
) -> None:
    one = embedded(SIMULATED)
    one.ok("down")
    doom = Doom("posix_spawn")
    doom.write(one.home)
    with doomed_up(one) as process:
        one.ok("submit", "soft", "-g", "0.5", *HOLD)
        assert process.wait(WAIT_S) == -signal.SIGKILL
    one.ok("up", "--detach")
    one.running("soft")


def test_running_work_does_not_notice(embedded: Callable[[str], Embedded]) -> None:
    one = embedded(SIMULATED)
    one.ok("submit", "mig", "--mig-profile", "3g.20gb", *HOLD)
    one.ok("submit", "soft", "-g", "0.5", *HOLD)
    one.ok("submit", "waits", "--mig-profile", "7g.40gb", *HOLD)
    before = one.running("mig", "soft")
    one.kill()
    assert "not running" in one.fails(1, "list")
    one.ok("up", "--detach")
    after = one.running("mig", "soft")
    for name in ("mig", "soft"):
        assert after[name].status.pid == before[name].status.pid
        assert after[name].status.devices == before[name].status.devices
    assert one.status("waits") is Phase.PENDING
    settled(one, ["mig", "soft", "waits"])


def test_a_workload_that_ends_while_nobody_looks_is_completed(embedded: Callable[[str], Embedded]) -> None:
    one = embedded("v100=1")
    one.ok("submit", "brief", "-g", "0.5", "--", "sh", "-c", f"while [ ! -e {one.home}/go ]; do sleep 0.05; done")
    pid = one.running("brief")["brief"].status.pid
    one.kill()
    (one.home / "go").touch()
    assert pid is not None
    psutil.Process(pid).wait(WAIT_S)
    one.ok("up", "--detach")
    one.wait("brief", Phase.COMPLETED)
