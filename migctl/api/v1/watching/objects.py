"""What is watched, as it was at the last look, and what changed since.

A workload, a node or a project changes also by what it is shown with: its pods, its department, node pools.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from migctl import node_pools
from migctl.access.caller import Place, place_of
from migctl.api.v1.workloads.rows import WorkloadRow, difference
from migctl.backends.mirror import ObjectView
from migctl.objects import Claim, Department, Event, GpuNode, NodePool, Object, PlacementPlan, Project, Workload


class WatchedKind(StrEnum):
    """By their plural names."""

    WORKLOADS = Workload.PLURAL
    CLAIMS = Claim.PLURAL
    NODES = "nodes"
    EVENTS = Event.PLURAL
    PROJECTS = Project.PLURAL
    PLANS = "plans"

    @property
    def resource(self) -> str:
        """The plural name of the kind that is stored."""
        return STORED[self].PLURAL


STORED: dict[WatchedKind, type[Object]] = {
    WatchedKind.WORKLOADS: Workload,
    WatchedKind.CLAIMS: Claim,
    WatchedKind.NODES: GpuNode,
    WatchedKind.EVENTS: Event,
    WatchedKind.PROJECTS: Project,
    WatchedKind.PLANS: PlacementPlan,
}


@dataclass(frozen=True, slots=True)
class PodOfRow:
    """A pod with its workload."""

    row: WorkloadRow
    pod: Claim


@dataclass(frozen=True, slots=True)
class NodeWithClaims:
    """A node, and the claims that were placed on it."""

    node: GpuNode
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """An object as it was at one moment.

    source  a WorkloadRow, a PodOfRow, a NodeWithClaims, or the stored object
    exists  whether the project at `place` is there
    """

    kind: WatchedKind
    source: Any
    place: Place
    exists: bool = True


Changed = tuple[Watched | None, Watched | None]
"""An object before and after; None: it was not there."""


class WatchedObjects:
    """All that is watched, as it was at the last look."""

    def __init__(self) -> None:
        self.there: dict[WatchedKind, dict[str, Watched]] = {kind: {} for kind in WatchedKind}
        self._seen: dict[type[Any], tuple[Any, ...]] = defaultdict(tuple)
        self._rows: tuple[WorkloadRow, ...] = ()
        self._departments: dict[str, str] = {}
        self._pools: object = None
        self._on_node: defaultdict[str, dict[str, Claim]] = defaultdict(dict)
        self.scopes = 0
        """Counts changes of where projects and departments are."""

    def look(
        self,
        view: ObjectView,
        rows: tuple[WorkloadRow, ...],
        plans: tuple[PlacementPlan, ...],
        events: tuple[Event, ...],
    ) -> list[Changed]:
        """What changed since the last look."""
        moved, organized = self._moved(view)
        pooled = self._repooled(view)
        changed = list(self._projects(view, organized or pooled))
        changed += self._workloads(rows, self._elsewhere(view), bool(moved) or organized)
        changed += self._nodes(view, moved, pooled)
        changed += self._stored(WatchedKind.PLANS, plans, ())
        changed += self._stored(WatchedKind.EVENTS, events, moved)
        return changed

    def _difference(self, kind: type[Any], now: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        before, self._seen[kind] = self._seen[kind], now
        return difference(before, now)

    def _moved(self, view: ObjectView) -> tuple[set[str], bool]:
        """The projects that are in another department than before, came or went; and whether departments did."""
        before = self._departments
        now = {one.meta.name: one.spec.department or "" for one in view.all(Project)}
        moved = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        organized = any(self._difference(Department, view.all(Department)))
        self._departments = now
        self.scopes += bool(moved) or organized
        return moved, organized

    def _repooled(self, view: ObjectView) -> bool:
        """Whether there are other node pools than before, or other rules for them."""
        made = view.all(NodePool)
        before, self._pools = self._pools, (made, node_pools.names(view.all(GpuNode), made))
        return before != self._pools

    def _elsewhere(self, view: ObjectView) -> set[str]:
        """The nodes that are in another pool than before."""
        before = {one.meta.name: one.spec.pool for one in self._seen[GpuNode]}
        return {one.meta.name for one in view.all(GpuNode) if before.get(one.meta.name) != one.spec.pool}

    def _projects(self, view: ObjectView, shown_otherwise: bool) -> Iterator[Changed]:
        now = view.all(Project)
        gone, come = self._difference(Project, now)
        yield from self._put(WatchedKind.PROJECTS, gone, now if shown_otherwise else come)

    def _workloads(self, now: tuple[WorkloadRow, ...], elsewhere: set[str], renamed: bool) -> Iterator[Changed]:
        """Workloads, and their pods. renamed: who may read which names in their messages has changed."""
        before, self._rows = self._rows, now
        gone, come = difference(before, now)
        if elsewhere or renamed:
            known = set(map(id, come))
            come += [row for row in now if id(row) not in known and (renamed or not elsewhere.isdisjoint(row.nodes))]
        old, new = {row.uid: row for row in gone}, {row.uid: row for row in come}
        for uid in old.keys() | new.keys():
            row, last = new.get(uid), old.get(uid)
            after = None if row is None else _of_row(WatchedKind.WORKLOADS, row, row)
            yield self._replaced(WatchedKind.WORKLOADS, uid, after)
            moved = renamed or row is None or last is None or row.place != last.place
            yield from self._pods(last.pods if last else (), row, moved=moved)

    def _pods(self, before: tuple[Claim, ...], row: WorkloadRow | None, *, moved: bool) -> Iterator[Changed]:
        there = {pod.meta.uid: pod for pod in row.pods} if row is not None else {}
        known = {pod.meta.uid: pod for pod in before}
        for uid in known.keys() - there.keys():
            yield self._replaced(WatchedKind.CLAIMS, uid, None)
        for uid, pod in there.items():
            if row is not None and (moved or known.get(uid) is not pod):
                yield self._replaced(WatchedKind.CLAIMS, uid, _of_row(WatchedKind.CLAIMS, row, PodOfRow(row, pod)))

    def _nodes(self, view: ObjectView, moved: set[str], pooled: bool) -> Iterator[Changed]:
        """Nodes show what is placed on them, with names for those who see the project."""
        touched = set(self._claims_moved(view))
        if moved:
            touched |= {
                node
                for node, claims in self._on_node.items()
                if any(claim.meta.project in moved for claim in claims.values())
            }
        now = view.all(GpuNode)
        gone, come = self._difference(GpuNode, now)
        fresh = set(map(id, come))
        shown = [one for one in now if pooled or id(one) in fresh or one.meta.name in touched]
        yield from self._put(WatchedKind.NODES, gone, shown)

    def _claims_moved(self, view: ObjectView) -> Iterator[str]:
        """Keep which claims are on which node; the nodes of those that changed."""
        gone, come = self._difference(Claim, view.all(Claim))
        for claim in gone:
            if (held := claim.status.allocation) is not None:
                self._on_node[held.node].pop(claim.meta.uid, None)
                yield held.node
        for claim in come:
            if (held := claim.status.allocation) is not None:
                self._on_node[held.node][claim.meta.uid] = claim
                yield held.node

    def _stored(self, kind: WatchedKind, now: tuple[Any, ...], moved: Iterable[str]) -> Iterator[Changed]:
        gone, come = self._difference(STORED[kind], now)
        if moved:
            known = set(map(id, come))
            come += [one for one in now if one.meta.project in moved and id(one) not in known]
        yield from self._put(kind, gone, come)

    def _put(self, kind: WatchedKind, gone: Iterable[Any], come: Iterable[Any]) -> Iterator[Changed]:
        """Objects of a kind; one that is in both was changed."""
        new = {one.meta.uid: one for one in come}
        for uid in [one.meta.uid for one in gone if one.meta.uid not in new]:
            yield self._replaced(kind, uid, None)
        for uid, obj in new.items():
            yield self._replaced(kind, uid, self._watched(kind, obj))

    def _watched(self, kind: WatchedKind, obj: Any) -> Watched:
        if kind is WatchedKind.NODES:
            claims = tuple(self._on_node[obj.meta.name].values())
            return Watched(kind, NodeWithClaims(obj, claims), Place())
        project = obj.meta.project
        place = place_of(obj, lambda name: self._departments.get(name, ""))
        return Watched(kind, obj, place, not project or project in self._departments)

    def _replaced(self, kind: WatchedKind, uid: str, after: Watched | None) -> Changed:
        there = self.there[kind]
        before = there.pop(uid, None)
        if after is not None:
            there[uid] = after
        return before, after


def _of_row(kind: WatchedKind, row: WorkloadRow, source: Any) -> Watched:
    return Watched(kind, source, Place(row.project, row.place.department), bool(row.place.uid))
