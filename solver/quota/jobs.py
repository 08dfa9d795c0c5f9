"""Jobs: what takes a turn in a queue. One request, or the members that a gang needs to start."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from solver.model.demand import Gang, Request
from solver.model.snapshot import Snapshot

GangKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """Requests that are placed together or not at all.

    missing  members that the gang needs and that nobody has asked for yet
    extra    a member beyond those the gang needs: it comes after what has not started
    """

    requests: tuple[Request, ...]
    missing: int = 0
    extra: bool = False

    @property
    def first(self) -> Request:
        return self.requests[0]

    @property
    def gang(self) -> Gang | None:
        return self.first.gang

    @property
    def order(self) -> tuple[float, bool, float, str]:
        """Inside a queue: priority, then age, then claim."""
        priority = max(request.priority for request in self.requests)
        return -priority, self.extra, min(request.created for request in self.requests), self.first.claim


def gang_key(request: Request) -> GangKey | None:
    """A gang's name is its project's own."""
    return (request.project, request.gang.name) if request.gang else None


def jobs(pending: Iterable[Request], snapshot: Snapshot) -> list[QueuedJob]:
    """All of `pending` as jobs: single requests, gangs' needed members together, each further member alone."""
    running = Counter(gang_key(h.request) for h in snapshot.held if h.request.gang and not h.releasing)
    gangs: defaultdict[GangKey, list[Request]] = defaultdict(list)
    found = []
    for request in sorted(pending, key=lambda r: (r.nominated is None, r.created, r.claim)):
        if key := gang_key(request):
            gangs[key].append(request)
        else:
            found.append(QueuedJob((request,)))
    for key, members in gangs.items():
        assert members[0].gang is not None
        needed = max(0, members[0].gang.size - running[key])
        if needed:
            found.append(QueuedJob(tuple(members[:needed]), max(0, needed - len(members))))
        found += [QueuedJob((member,), extra=True) for member in members[needed:]]
    return found
