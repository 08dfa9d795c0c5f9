"""A day of random users on three simulated nodes: nothing waits without a true reason, and nothing is left behind.

`make soak-day` is the whole day, with its counts printed; `make test` an hour of it. MIGCTL_DAY_SEED chooses another.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from migctl.backends.protocol import Unavailable
from migctl.objects import Event, GpuNode, Workload
from tests.depth import THOROUGH
from tests.e2e.day.machine import Machine
from tests.e2e.day.terminal import Answer, Terminal
from tests.e2e.day.truth import untruths
from tests.e2e.day.users import QUEUES, Typed, Users
from tests.e2e.embedded import Embedded
from tests.limits import WAIT_S

R = TypeVar("R")

SIMULATED = "node-a:a100-40gb=2,node-b:a100-40gb:nomig=1,node-b:h100=1,node-c:v100=2"
SEED = int(os.environ.get("MIGCTL_DAY_SEED", "1"))
ACTIONS = 5000 if THOROUGH else 60
REST_EVERY = 50 if THOROUGH else 30
"""Actions from one look at the cluster at rest to the next."""
MOST_AT_ONCE = 4
BEFALLS = 0.12
"""How likely it is that something befalls the machine while users type."""
EXPECTED = {0, 1, 2, 3, 4, 5, 6, 124}
ENDED_WITH_ITS_WORKLOAD = {-signal.SIGTERM, -signal.SIGKILL}
"""How a command beside a workload ends when that is deleted meanwhile."""


class Day:
    """One day: users type, several at once, things befall the machine, and now and then all comes to rest."""

    def __init__(self, one: Embedded, terminals: list[Terminal], seed: int) -> None:
        self._one, self._terminals = one, terminals
        self._random = random.Random(seed)
        self.users, self.machine = Users(self._random), Machine(one, self._random)
        self.counts: Counter[str] = Counter()

    def pass_by(self, actions: int) -> None:
        rest = REST_EVERY
        while self.counts["actions"] < actions:
            self._some()
            if self.counts["actions"] >= rest:
                rest += REST_EVERY
                self.rest()

    def rest(self) -> None:
        """Wait until everything is true at one moment."""
        deadline, found = time.monotonic() + WAIT_S, ["never looked"]
        while found:
            assert time.monotonic() < deadline, "\n".join([f"seed {SEED}, {self.told()}", *found])
            found = self._asked(lambda: untruths(self._one))
        self.counts["rests"] += 1

    def told(self) -> str:
        counts = {**self.counts, **self.machine.counts}
        return " ".join(f"{name}={counts[name]}" for name in sorted(counts))

    def _asked(self, question: Callable[[], R]) -> R:
        """The answer of `migctl up`, started again where a fault of its driver has ended it meanwhile."""
        while True:
            try:
                return question()
            except Unavailable:
                self.machine.ensure_up()

    def _some(self) -> None:
        self.users.there = self._asked(lambda: self._one.look(Workload))
        typed = [self.users.next() for _ in range(self._random.randint(1, MOST_AT_ONCE))]
        befalls = self._random.random() < BEFALLS
        with ThreadPoolExecutor() as people:
            answers = [
                people.submit(terminal.run, one.words, one.killed_after)
                for terminal, one in zip(self._terminals, typed, strict=False)
            ]
            if befalls:
                self.machine.befall()
            for what, answer in zip(typed, answers, strict=True):
                self._judge(what, answer.result())

    def _judge(self, typed: Typed, answer: Answer) -> None:
        line = f"migctl {' '.join(typed.words)} -> {answer.code}\n{answer.out[-2000:]}{answer.err[-4000:]}"
        self.counts["actions"] += 1
        self.counts[typed.words[0] if not typed.wrong else "mistakes"] += 1
        if typed.killed_after is not None:
            self.counts["commands-killed"] += answer.code < 0
            return
        assert "Traceback" not in answer.err, line
        assert "defect" not in answer.err, line
        assert answer.code in EXPECTED | (ENDED_WITH_ITS_WORKLOAD if typed.words[0] == "exec" else set()), line
        if typed.wrong:
            assert answer.code, line
        self.counts["refused"] += answer.code != 0


@pytest.fixture
def day(embedded: Callable[[str], Embedded]) -> Iterator[Day]:
    one = embedded(SIMULATED)
    for words in QUEUES:
        one.ok(*words)
    terminals = [Terminal(one.environment) for _ in range(MOST_AT_ONCE)]
    day = Day(one, terminals, SEED)
    yield day
    day.machine.close()
    for terminal in terminals:
        terminal.close()


@pytest.mark.timeout(7200)
def test_a_day_of_random_users(day: Day) -> None:
    day.pass_by(ACTIONS)
    day.machine.heal()
    day.rest()
    one = day.machine.one
    for project in sorted({workload.meta.project for workload in one.look(Workload)}):
        one.ok("delete", "--all", "-p", project)
    one.until("everything is deleted", lambda: not one.look(Workload))
    day.rest()
    assert not [
        gpu for node in one.look(GpuNode) if node.status.report for gpu in node.status.report.gpus if gpu.fenced
    ]
    print(f"\nDAY seed={SEED} {day.told()} events={len(one.look(Event))}")
