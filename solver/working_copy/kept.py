"""A working cluster kept from one decision to the next: what has not changed is neither made nor looked up again.

A snapshot that shares GPUs and holdings with the one before, by identity, costs what differs. Where nodes or kinds of
GPUs differ all is made anew. Decisions are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from solver.model.cluster import Gpu
from solver.model.snapshot import Policy, Snapshot
from solver.working_copy.free_candidates import FreeCandidates
from solver.working_copy.occupancy import WorkingCluster

MOST_CHANGES = 100_000
MOST_KEPT = 64
"""Indexes and rankings of free places; beyond that all is made anew."""


@dataclass(frozen=True, slots=True)
class _Known:
    snapshot: Snapshot
    policy: Policy
    cluster: WorkingCluster
    places: FreeCandidates


class KeptCluster:
    """The working cluster of the newest snapshot. One user at a time."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    @contextmanager
    def of(self, snapshot: Snapshot, policy: Policy) -> Iterator[tuple[WorkingCluster, FreeCandidates]]:
        """The cluster as the snapshot says, and its free places; afterwards all that was done to it is taken back."""
        before, self._known = self._known, None
        if before is None or not _followed(before, snapshot, policy):
            cluster = WorkingCluster(snapshot)
            places = FreeCandidates(cluster, policy)
        else:
            cluster, places = before.cluster, before.places
        yield cluster, places
        cluster.undo(0)
        if len(cluster.changes) > MOST_CHANGES:
            places.caught_up()
        if places.size <= MOST_KEPT:
            self._known = _Known(snapshot, policy, cluster, places)


def _followed(known: _Known, now: Snapshot, policy: Policy) -> bool:
    """Whether the cluster that is known has become the one of now."""
    before = known.snapshot
    if policy != known.policy or now.nodes != before.nodes or len(now.gpus) != len(before.gpus):
        return False
    if now.models is not before.models and now.models != before.models:
        return False
    changed = [(old, new) for old, new in zip(before.gpus, now.gpus, strict=True) if old is not new]
    if any(_kind(old) != _kind(new) for old, new in changed):
        return False
    were, are = set(map(id, before.held)), set(map(id, now.held))
    came = [holding for holding in now.held if id(holding) not in were]
    left = [holding for holding in before.held if id(holding) not in are]
    if changed or came or left:
        names = {new.node for _, new in changed} | {holding.grant.node for holding in (*came, *left)}
        known.cluster.follow({new.uuid: new for _, new in changed}, now.held, names & known.cluster.nodes.keys())
    return True


def _kind(gpu: Gpu) -> tuple[object, ...]:
    return gpu.uuid, gpu.node, gpu.index, gpu.model, gpu.memory_mib, gpu.mig, bool(gpu.fenced)
