"""Two claims on one device: which of them gives way.

The API server accepts it, and a controller that lost its lease without knowing may write it. The
agent prepares only one of them; here the same order decides which one stays, for every controller alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from migctl.backends.kubernetes.cache.cluster import ClusterCache
from migctl.backends.kubernetes.meaning.records import ClaimRecord
from migctl.objects import GpuNode
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from solver.model.occupation import excludes, overfull

EPOCH = datetime.fromtimestamp(0, UTC)


def must_give_way(cluster: ClusterCache, record: ClaimRecord) -> ClaimRecord | None:
    """The claim that a claim must leave its device to; None where it may stay."""
    if record.grant is None or _prepared(cluster, record):
        return None
    for share in record.grant.devices:
        rivals = [other for other in cluster.holders(share.gpu) if other.uid != record.uid]
        taken = [other for other in rivals if _meet(cluster, share, other)]
        first = min(
            (other for other in taken if _rank(cluster, other) < _rank(cluster, record)), default=None, key=_age
        )
        if first is not None:
            return first
    return None


def _rank(cluster: ClusterCache, record: ClaimRecord) -> tuple[bool, bool, datetime, str]:
    """Who stays: what is prepared, then what is bound, then what was there first."""
    return (not _prepared(cluster, record), not record.reserved, *_age(record))


def _age(record: ClaimRecord) -> tuple[datetime, str]:
    return record.allocated or EPOCH, record.uid


def _prepared(cluster: ClusterCache, record: ClaimRecord) -> bool:
    node = cluster.get(GpuNode, record.grant.node) if record.grant else None
    report = node.status.report if node else None
    return report is not None and record.uid in report.held


def _meet(cluster: ClusterCache, share: DeviceShare, other: ClaimRecord) -> bool:
    """Whether the other claim stands where the share stands."""
    assert other.grant is not None
    same = [theirs for theirs in other.grant.devices if theirs.gpu == share.gpu]
    if any(excludes(share, theirs) for theirs in same):
        return True
    return bool(same) and share.backing is not Backing.MIG and overfull(_given(cluster, share.gpu))


def _given(cluster: ClusterCache, gpu: str) -> Iterator[DeviceShare]:
    """All shares that claims have of a GPU."""
    grants = (record.grant for record in cluster.holders(gpu) if record.grant)
    return (share for grant in grants for share in grant.devices if share.gpu == gpu)
