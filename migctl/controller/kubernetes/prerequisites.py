"""The API resources that migctl needs, and which of them a cluster lacks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.kinds import ServedResources
from migctl.backends.protocol import NotFound
from nodeagent.contract.wire import API_VERSION

NEEDED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "resource.k8s.io/v1",
        ("resourceclaims", "resourceclaimtemplates", "deviceclasses"),
        "dynamic resource allocation: Kubernetes 1.34 or later",
    ),
    (
        "admissionregistration.k8s.io/v1",
        ("mutatingadmissionpolicies", "validatingadmissionpolicies"),
        "mutating admission policies: Kubernetes 1.36 or later",
    ),
    (
        API_VERSION,
        ("projects", "departments", "gpunodes", "nodepools", "placementplans"),
        "migctl's own resources: kubectl apply --server-side -k deploy/manifests",
    ),
)


async def lacks(api: KubernetesApi) -> list[str]:
    """One sentence for each missing group of resources; empty: the cluster has all. Raises Unavailable."""
    missing = []
    for group, plurals, what in NEEDED:
        absent = sorted(set(plurals) - set(await _served(api, group)))
        if absent:
            missing.append(f"this cluster has no {', '.join(absent)} in {group} ({what})")
    return missing


async def _served(api: KubernetesApi, group: str) -> Iterable[str]:
    try:
        answer = await api.transport.request("GET", f"/apis/{group}")
    except NotFound:
        return ()
    return [resource.name for resource in msgspec.json.decode(answer, type=ServedResources).resources]
