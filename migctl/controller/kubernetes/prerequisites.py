"""What a cluster must offer for migctl to work, and what this one lacks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from migctl.backends.kubernetes.client.api import Api
from migctl.backends.protocol import NotFound

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
        "migctl.dev/v1alpha1",
        ("projects", "departments", "gpunodes", "placementplans"),
        "migctl's own resources: kubectl apply --server-side -k deploy/manifests",
    ),
)


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Resources(msgspec.Struct, frozen=True):
    resources: tuple[_Named, ...] = ()


async def lacks(api: Api) -> list[str]:
    """One sentence for each thing that is missing; none: the cluster will do. Raises Unavailable."""
    missing = []
    for group, plurals, what in NEEDED:
        absent = sorted(set(plurals) - set(await _served(api, group)))
        if absent:
            missing.append(f"this cluster has no {', '.join(absent)} in {group} ({what})")
    return missing


async def _served(api: Api, group: str) -> Iterable[str]:
    try:
        answer = await api.transport.request("GET", f"/apis/{group}")
    except NotFound:
        return ()
    return [resource.name for resource in msgspec.json.decode(answer, type=_Resources).resources]
