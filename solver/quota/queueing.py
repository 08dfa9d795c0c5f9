"""Order and gates: who is served first, and who may not be served now whatever room there is.

`admissible` is all that the planner asks of quotas. It counts every request it lets through as
granted; the planner asks again without those it found no room for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from solver.model.demand import Request
from solver.model.plan import Code, Unplaced
from solver.model.snapshot import Project, Snapshot
from solver.quota.accounting import asked, granted

EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Admission:
    """Requests in the order they are to be served, and the reasons of those that are not to be."""

    ordered: tuple[Request, ...]
    refused: Mapping[str, Unplaced] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(slots=True)
class _Account:
    project: Project
    allocated: float = 0.0
    non_preemptible: float = 0.0

    def charge(self, request: Request, gpus: float) -> None:
        self.allocated += gpus
        self.non_preemptible += 0.0 if request.preemptible else gpus


def admissible(snapshot: Snapshot, without: Collection[str] = ()) -> Admission:
    """Pending requests by priority, then age, then claim; `without` are claims that get no room anyway."""
    accounts = {project.name: _Account(project) for project in snapshot.projects}
    for holding in snapshot.held:
        if (account := accounts.get(holding.request.project)) and not holding.releasing:
            account.charge(holding.request, granted(holding.grant))
    ordered: list[Request] = []
    refused: dict[str, Unplaced] = {}
    for request in sorted(snapshot.pending, key=lambda r: (-r.priority, r.created, r.claim)):
        if request.claim in without:
            continue
        reason = _refusal(request, accounts, snapshot)
        if reason:
            refused[request.claim] = reason
        else:
            ordered.append(request)
            accounts[request.project].charge(request, asked(request.ask, snapshot.models))
    return Admission(tuple(ordered), MappingProxyType(refused))


def _refusal(request: Request, accounts: Mapping[str, _Account], snapshot: Snapshot) -> Unplaced | None:
    account = accounts.get(request.project)
    if account is None:
        known = ", ".join(sorted(accounts)) or "none"
        return Unplaced(Code.UNKNOWN_PROJECT, f"there is no project {request.project!r}; projects: {known}")
    if request.backing_off_until is not None and snapshot.now < request.backing_off_until:
        wait = request.backing_off_until - snapshot.now
        return Unplaced(Code.BACKING_OFF, f"its start failed again and again; it is tried again in {wait:.0f} s")
    wants, quota = asked(request.ask, snapshot.models), account.project.default
    if quota.limit >= 0 and account.allocated + wants > quota.limit + EPSILON:
        return Unplaced(
            Code.OVER_LIMIT,
            f"project {request.project} may use {quota.limit:.2f} GPUs; {account.allocated:.2f} are allocated or "
            f"planned and this request takes {wants:.2f}",
        )
    if not request.preemptible and quota.quota >= 0 and account.non_preemptible + wants > quota.quota + EPSILON:
        return Unplaced(
            Code.NON_PREEMPTIBLE_OVER_QUOTA,
            f"non-preemptible work must stay inside the quota: project {request.project} has {quota.quota:.2f} GPUs, "
            f"{account.non_preemptible:.2f} are non-preemptible already and this request takes {wants:.2f}",
        )
    return None
