"""What users type: work of every kind, questions, changes of mind, and mistakes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migctl.objects import Workload

MOST_WORKLOADS = 24
"""From so many on, more is deleted than submitted."""

PROJECTS = ("team-a", "team-b", "team-c", "default")
QUEUES = (
    ("department", "create", "research", "--quota", "4"),
    ("project", "create", "team-a", "--quota", "2", "--department", "research"),
    ("project", "create", "team-b", "--quota", "1", "--limit", "2", "--department", "research"),
    ("project", "create", "team-c", "--quota", "0", "--over-quota-weight", "low"),
)

REQUESTS: tuple[tuple[str, ...], ...] = (
    ("-g", "1"),
    ("-g", "2"),
    ("-g", "0.5"),
    ("-g", "0.25"),
    ("-g", "0.1"),
    ("-g", "0.5", "--gpu-devices", "2"),
    ("--gpu-memory", "4GB"),
    ("--gpu-memory", "10Gi"),
    ("--gpu-memory", "30GB"),
    ("--mig-profile", "1g.5gb"),
    ("--mig-profile", "2g.10gb"),
    ("--mig-profile", "3g.20gb"),
    ("--mig-profile", "7g.40gb"),
    ("--mig-profile", "1g.10gb"),
)
SHAPES: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    ("--interactive",),
    ("--interactive", "--preemptible"),
    ("--parallelism", "2"),
    ("--parallelism", "2", "--completions", "3"),
    ("--backoff-limit", "0"),
    ("--ttl-after-finish", "1s"),
    ("--suspend",),
    ("--label", "who=me", "-e", "A=b c"),
)
PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("sleep", "600"),
    ("sleep", "600"),
    ("sleep", "600"),
    ("sleep", "2"),
    ("true",),
    ("sh", "-c", "exit 3"),
    ("sh", "-c", "kill -SEGV $$"),
    ("sh", "-c", "kill -STOP $$"),
    ("sh", "-c", "echo begun; setsid sleep 600 & exit 0"),
    ("sh", "-c", "trap '' TERM; while :; do sleep 1; done"),
    ("no-such-program",),
    ("sh", "-c", "yes | head -c 300000; sleep 600"),
)
"""What is run. The quickstart, which holds GPU memory, is run where no program is given."""

MISTAKES: tuple[tuple[str, ...], ...] = (
    ("submitt", "x"),
    ("submit", "", "-g", "1"),
    ("submit", "x", "-g", "abc"),
    ("submit", "x", "-g", "0"),
    ("submit", "x", "-g", "-1"),
    ("submit", "x", "-g", "0.00001"),
    ("submit", "x", "-g", "999999999999"),
    ("submit", "x", "-g"),
    ("submit", "x", "-g", "1", "-g", "0.5", "--gpu-memory", "1GB"),
    ("submit", "x", "--gpu-memory", "10XB"),
    ("submit", "x", "--mig-profile", "9g.99gb"),
    ("submit", "x", "--gpuu", "1"),
    ("submit", "x", "-g", "1", "-p", "nobodys"),
    ("submit", "x", "-g", "1", "-p", ""),
    ("submit", "Bad_Name", "-g", "1"),
    ("submit", "x" * 300, "-g", "1"),
    ("submit", "x", "-g", "1", "--backoff-limit", "-1"),
    ("submit", "x", "-g", "1", "--parallelism", "0"),
    ("submit", "x", "-g", "1", "--completions", "few"),
    ("submit", "x", "-g", "1", "--ttl-after-finish", "soon"),
    ("submit", "x", "-g", "1", "--label", "nothing"),
    ("submit", "x", "-g", "1", "-e", "NOTHING"),
    ("submit", "x", "-g", "1", "--node-pools", "moon"),
    ("delete",),
    ("delete", ""),
    ("delete", "a/b"),
    ("delete", "no-such"),
    ("describe", ""),
    ("describe", "no-such"),
    ("logs", "no-such"),
    ("exec", "no-such", "--", "true"),
    ("wait", "no-such", "--timeout", "1s"),
    ("list", "-o", "xml"),
    ("list", "-l", "==="),
    ("list", "--sort-by", "colour"),
    ("node", "set", "no-such", "--dynamic-mig", "on"),
    ("node", "set", "node-a", "--dynamic-mig", "maybe"),
    ("project", "create", "team-a"),
    ("project", "create", "team-d", "--quota", "lots"),
    ("project", "create", "team-d", "--department", "no-such"),
    ("project", "update", "team-a", "--quota", "99999999"),
    ("project", "delete", "no-such"),
    ("department", "delete", "research"),
    ("plan", "show", "no-such"),
    ("plan", "what-if", "--add", "10GB=3"),
    ("plan", "what-if", "--lose-node", "no-such"),
    ("down", "--timeout", "abc"),
    ("context", "use", "no-such"),
)
"""Every one of these is refused, whatever the state of the cluster."""

NODES: tuple[tuple[str, ...], ...] = (
    ("node", "cordon", "node-a"),
    ("node", "cordon", "node-c"),
    ("node", "uncordon", "node-a"),
    ("node", "uncordon", "node-a"),
    ("node", "uncordon", "node-c"),
    ("node", "uncordon", "node-c"),
    ("node", "drain", "node-b", "--dry-run"),
    ("node", "drain", "node-c", "--yes", "--timeout", "2s"),
    ("node", "set", "node-b", "--dynamic-mig", "on"),
    ("node", "set", "node-b", "--dynamic-mig", "off"),
    ("node", "describe", "node-b"),
)
"""What admins do with nodes."""

QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("list", "-A"),
    ("list", "-A", "-o", "wide"),
    ("list", "-A", "-o", "json"),
    ("list", "nodes"),
    ("list", "projects"),
    ("gpus",),
    ("gpus", "-o", "json"),
    ("node", "list", "-o", "wide"),
    ("top", "jobs"),
    ("top", "nodes", "-o", "json"),
    ("events",),
    ("events", "-A"),
    ("plan", "list"),
    ("plan", "what-if", "--add", "2g.10gb=2"),
    ("project", "describe", "team-a"),
    ("department", "list"),
    ("whoami",),
)


@dataclass(frozen=True)
class Typed:
    """One command line.

    wrong         it must be refused
    killed_after  seconds after which the user kills it
    """

    words: tuple[str, ...]
    wrong: bool = False
    killed_after: float | None = None


class Users:
    """Random users, of a seed. `there`: the workloads there are, as far as users know."""

    def __init__(self, random: random.Random) -> None:
        self._random = random
        self.there: Sequence[Workload] = ()

    def next(self) -> Typed:
        """What is typed next."""
        kinds: list[tuple[int, Callable[[], Typed]]] = [
            (30 if len(self.there) < MOST_WORKLOADS else 6, self._submits),
            (18 if len(self.there) < MOST_WORKLOADS else 40, self._deletes),
            (12, self._changes),
            (14, self._asks),
            (14, self._asks_about_one),
            (12, self._errs),
            (4, self._changes_a_queue),
            (3, lambda: Typed(self._random.choice(NODES))),
        ]
        weights, chosen = zip(*kinds, strict=True)
        typed: Typed = self._random.choices(chosen, weights)[0]()
        if not typed.wrong and self._random.random() < 0.03:
            return Typed(typed.words, killed_after=self._random.uniform(0.0, 0.1))
        return typed

    def _submits(self) -> Typed:
        pick = self._random.choice
        name = f"w{self._random.randrange(60)}"
        program = pick(PROGRAMS)
        ran = () if self._random.random() < 0.06 else ("--", *program)
        return Typed(("submit", name, *pick(REQUESTS), *pick(SHAPES), "-p", pick(PROJECTS), *ran))

    def _deletes(self) -> Typed:
        return self._of_one("delete")

    def _changes(self) -> Typed:
        return self._of_one(self._random.choice(("suspend", "resume", "suspend", "resume", "delete")))

    def _asks(self) -> Typed:
        return Typed(self._random.choice(QUESTIONS))

    def _asks_about_one(self) -> Typed:
        verb, *rest = self._random.choice(
            (
                ("describe",),
                ("why",),
                ("why", "-o", "json"),
                ("logs", "--tail", "5"),
                ("wait", "--timeout", "1s"),
                ("wait", "--for", "condition=Completed", "--timeout", "1s"),
            )
        )
        if self._random.random() < 0.1:
            return self._of_one("exec", "--", "true")
        return self._of_one(verb, *rest)

    def _errs(self) -> Typed:
        return Typed(self._random.choice(MISTAKES), wrong=True)

    def _changes_a_queue(self) -> Typed:
        pick = self._random.choice
        return Typed(("project", "update", pick(PROJECTS[:3]), "--quota", pick(("0", "0.5", "1", "2", "3"))))

    def _of_one(self, verb: str, *rest: str) -> Typed:
        """A command about a workload that is there, in most cases."""
        if not self.there or self._random.random() < 0.05:
            return Typed((verb, "w999", "-p", "team-a", *rest), wrong=True)
        meta = self._random.choice(self.there).meta
        return Typed((verb, meta.name, "-p", meta.project, *rest))
