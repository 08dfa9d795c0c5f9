"""The patch of a Job, StatefulSet or Deployment that a changed workload stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.user.kinds import DEPLOYMENTS, JOBS, PODS, STATEFUL_SETS
from migctl.backends.protocol import Invalid
from migctl.objects import Workload


def merge_patch(
    before: Workload, resource: Resource[Any] | None, after: Workload, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) of a workload's object; empty where nothing differs.

    resource  the object's kind, None for one of another controller
    changes   the patch of the workload that led from `before` to `after`

    Raises Invalid where the object has no such field.
    """
    body: dict[str, Any] = {}
    changed = {key: value for key, value in (changes.get("meta") or {}).items() if key in ("labels", "finalizers")}
    if before.meta != after.meta:
        body["metadata"] = changed
    if before.spec == after.spec:
        return body
    if resource is JOBS:
        return {**body, "spec": _job_fields(before, after)}
    if resource not in (STATEFUL_SETS, DEPLOYMENTS):
        kind = "a bare pod" if resource is PODS else "made by another controller"
        raise Invalid(f"{before.meta.name!r} is {kind}: it cannot be suspended or changed", "delete it", "spec")
    if before.spec.backoff_limit != after.spec.backoff_limit or after.spec.ttl_after_finish_s is not None:
        raise Invalid("spec: backoffLimit and ttlAfterFinishS are of trainings only", field="spec")
    annotation = str(after.spec.parallelism) if after.spec.suspended else None
    metadata = {**body.get("metadata", {}), "annotations": {names.REPLICAS: annotation}}
    return {"metadata": metadata, "spec": {"replicas": 0 if after.spec.suspended else after.spec.parallelism}}


def _job_fields(before: Workload, after: Workload) -> dict[str, Any]:
    ttl = after.spec.ttl_after_finish_s
    fields = {
        "suspend": (before.spec.suspended, after.spec.suspended),
        "parallelism": (before.spec.parallelism, after.spec.parallelism),
        "backoffLimit": (before.spec.backoff_limit, after.spec.backoff_limit),
        "ttlSecondsAfterFinished": (before.spec.ttl_after_finish_s, None if ttl is None else round(ttl)),
    }
    return {name: new for name, (old, new) in fields.items() if old != new}
