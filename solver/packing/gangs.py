"""Gangs: members that start together or not at all, within one topology domain where they ask for one."""

from __future__ import annotations

from collections.abc import Sequence

from solver.model.demand import Gang, Holding, Request
from solver.model.snapshot import Snapshot
from solver.packing.draft import Draft
from solver.packing.occupancy import Cluster, Host

GangKey = tuple[str, str]


def gang_key(request: Request) -> GangKey | None:
    """A gang's name is its project's own."""
    return (request.project, request.gang.name) if request.gang else None


def place_gang(snapshot: Snapshot, draft: Draft, gang: Gang, members: Sequence[Request]) -> None:
    """Place all members that fit, if with those that run already they are enough."""
    key = gang_key(members[0])
    running = [h.grant.node for h in snapshot.held if gang_key(h.request) == key and not _leaves(draft, h)]
    placed = [
        draft.found[r.claim].grant.node for r in snapshot.pending if gang_key(r) == key and r.claim in draft.found
    ]
    todo = [m for m in members if m.claim not in draft.found]
    nodes = running + placed
    needed = max(0, gang.size - len(nodes))
    draft.place_gang(todo, needed, _domains(draft.cluster, gang, nodes))


def _leaves(draft: Draft, holding: Holding) -> bool:
    return holding.request.claim in draft.cluster.leaving


def _domains(cluster: Cluster, gang: Gang, nodes: Sequence[str]) -> list[list[Host] | None]:
    """Where the gang may go, best first; None is anywhere. Members that run already fix the domain."""
    if gang.domain is None:
        return [None]
    values: dict[str, list[Host]] = {}
    for host in cluster.hosts.values():
        if (value := host.node.labels.get(gang.domain)) is not None:
            values.setdefault(value, []).append(host)
    fixed = {cluster.hosts[n].node.labels.get(gang.domain) for n in nodes if n in cluster.hosts}
    allowed = [hosts for value, hosts in sorted(values.items()) if not fixed or fixed == {value}]
    fullest_first = sorted(allowed, key=lambda hosts: -sum(host.used for host in hosts))
    return [*fullest_first] if gang.domain_required else [*fullest_first, None]
