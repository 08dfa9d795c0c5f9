"""Custom resources of ours as the control plane's objects, and back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from migctl.backends.kubernetes.client.kinds import CustomResource, Metadata
from migctl.backends.protocol import Invalid
from migctl.objects import (
    Department,
    DepartmentSpec,
    GpuNode,
    Meta,
    NodePool,
    NodePoolSpec,
    NodeSpec,
    NodeStatus,
    PlacementPlan,
    PlanSpec,
    PlanStatus,
    Project,
    ProjectSpec,
    ProjectStatus,
    StepState,
    to_builtins,
)
from nodeagent.contract.wire import API_VERSION, report_from_json, report_to_json


def meta(metadata: Metadata) -> Meta:
    """The identity of an object."""
    return Meta(
        name=metadata.name,
        project=metadata.namespace,
        uid=metadata.uid,
        version=metadata.resource_version,
        created=metadata.creation_timestamp,
        deleting=metadata.deletion_timestamp,
        finalizers=metadata.finalizers or (),
        labels=metadata.labels or {},
    )


def project(raw: CustomResource) -> Project:
    """Raises Invalid where the object is none of this version's."""
    return Project(
        meta=meta(raw.metadata), spec=_read(raw, "spec", ProjectSpec), status=_read(raw, "status", ProjectStatus)
    )


def department(raw: CustomResource) -> Department:
    """Raises Invalid where the object is none of this version's."""
    return Department(
        meta=meta(raw.metadata), spec=_read(raw, "spec", DepartmentSpec), status=_read(raw, "status", ProjectStatus)
    )


def node_pool(raw: CustomResource) -> NodePool:
    """Raises Invalid where the object is none of this version's."""
    return NodePool(meta=meta(raw.metadata), spec=_read(raw, "spec", NodePoolSpec))


def node(raw: CustomResource) -> GpuNode:
    """Raises Invalid where the report is none of this version's."""
    status = _fields(raw, "status", NodeStatus)
    try:
        report = report_from_json(status["report"]) if status.get("report") else None
        known = msgspec.convert({**status, "report": None}, NodeStatus)
    except msgspec.ValidationError as error:
        raise Invalid(f"GpuNode {raw.metadata.name}: status: {error}") from None
    return GpuNode(
        meta=meta(raw.metadata),
        spec=_read(raw, "spec", NodeSpec),
        status=msgspec.structs.replace(known, report=report),
    )


def plan(raw: CustomResource) -> PlacementPlan:
    """Raises Invalid where the object is none of this version's."""
    return PlacementPlan(
        meta=meta(raw.metadata), spec=_read(raw, "spec", PlanSpec), status=_read(raw, "status", PlanStatus)
    )


def to_json(obj: Project | Department | NodePool | GpuNode | PlacementPlan) -> dict[str, Any]:
    """The whole object as the API server takes it."""
    body = {
        "apiVersion": API_VERSION,
        "kind": obj.__struct_config__.tag,
        "metadata": metadata_to_json(obj.meta),
        "spec": to_builtins(obj.spec),
    }
    status = status_to_json(obj)
    return {**body, "status": status} if status else body


def status_to_json(obj: Project | Department | NodePool | GpuNode | PlacementPlan) -> dict[str, Any]:
    """The status as the API server takes it; a plan's is made of its steps, a node pool has none."""
    if isinstance(obj, NodePool):
        return {}
    if isinstance(obj, PlacementPlan):
        return _carried_out(obj)
    status: dict[str, Any] = to_builtins(obj.status)
    if isinstance(obj, GpuNode) and obj.status.report is not None:
        status["report"] = report_to_json(obj.status.report)
    return status


def _carried_out(plan: PlacementPlan) -> dict[str, Any]:
    """How far a plan was carried out, for `kubectl get`; nothing of a proposal: whoever saves one writes no status."""
    if plan.spec.proposed:
        return {}
    counts = Counter(step.state for step in plan.spec.steps)
    accepted = counts[StepState.ACCEPTED] + counts[StepState.DONE]
    rejected, waiting = counts[StepState.REJECTED], counts[StepState.PROPOSED]
    return {"phase": plan.phase, "accepted": accepted, "rejected": rejected, "waiting": waiting}


def metadata_to_json(own: Meta) -> dict[str, Any]:
    """The metadata as the API server takes it, without what is empty."""
    wanted = {
        "name": own.name,
        "namespace": own.project,
        "uid": own.uid,
        "resourceVersion": own.version,
        "finalizers": list(own.finalizers),
        "labels": own.labels,
    }
    return {key: value for key, value in wanted.items() if value}


def _read(raw: CustomResource, part: str, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(_fields(raw, part, kind), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{raw.metadata.name}: {part}: {error}") from None


def _fields(raw: CustomResource, part: str, kind: type[Any]) -> dict[str, Any]:
    """The fields of a part that this version knows: a newer one may have written more, and conditions are not ours."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    found = msgspec.json.decode(getattr(raw, part)) or {}
    return {key: value for key, value in found.items() if key in known}
