"""What must never be, checked at every change of the API server's state."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from nodeagent.contract.wire import NotOurs, grant_from_json
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_cluster.cluster import FakeCluster


def grants(claims: list[Json]) -> dict[str, Grant]:
    """What each claim is allocated, by uid."""
    found = {}
    for claim in claims:
        allocation = claim.get("status", {}).get("allocation")
        if allocation is not None:
            found[claim["metadata"]["uid"]] = grant_from_json(allocation)
    return found


def overlaps(given: dict[str, Grant]) -> list[str]:
    """Pairs of claims on one device, as sentences."""
    by_gpu: dict[str, list[tuple[str, DeviceShare]]] = defaultdict(list)
    for uid, grant in given.items():
        for share in grant.devices:
            by_gpu[share.gpu].append((uid, share))
    return [why for gpu, parts in by_gpu.items() if (why := _overlap(gpu, parts))]


def _overlap(gpu: str, parts: list[tuple[str, DeviceShare]]) -> str:
    taken = 0
    for uid, share in parts:
        if share.backing is Backing.WHOLE and len(parts) > 1:
            return f"{gpu} is whole for {uid} and shared with {len(parts) - 1}"
        if share.backing is Backing.MIG:
            mask = ((1 << share.size) - 1) << (share.start or 0)
            if taken & mask:
                return f"{gpu}: units of {share.profile}@{share.start} are given twice"
            taken |= mask
    portion = sum(share.portion for _, share in parts if share.backing not in (Backing.WHOLE, Backing.MIG))
    return f"{gpu}: {portion} of it is given" if portion > 1 + 1e-6 else ""


def history(cluster: FakeCluster) -> list[str]:
    """Every moment at which two claims held one device, from the whole log of claims."""
    now: dict[str, Json] = {}
    found = []
    for entry in cluster.operations.storage.section("resourceclaims").log:
        uid = entry.stored.object["metadata"]["uid"]
        now.pop(uid, None) if entry.type == "DELETED" else now.update({uid: entry.stored.object})
        try:
            found += [f"at {entry.revision}: {why}" for why in overlaps(grants(list(now.values())))]
        except NotOurs as error:
            found.append(str(error))
    return found


def prepared_twice(cluster: FakeCluster) -> list[str]:
    """Agents that hold two claims on one device."""
    found: list[str] = []
    for agent in cluster.agents.values():
        held: dict[str, Any] = {uid: Grant(a.node, a.devices) for uid, a in agent.held.items()}
        found += overlaps(held)
    return found
