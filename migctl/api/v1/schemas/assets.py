"""Compute presets and environments, as clients read them."""

from __future__ import annotations

from datetime import datetime

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.workload_specs import GpuRequestType


class AssetMeta(Schema):
    """What an asset is called, and whose it is: the cluster's, of which it was made."""

    id: str
    name: str
    description: str
    kind: str = "compute"
    scope: str = "cluster"
    cluster_id: str
    created_by: str = "migctl"
    created_at: datetime
    updated_by: str = "migctl"
    updated_at: datetime


class PresetSpec(Schema):
    """What can stand in spec.compute of a workload."""

    gpu_devices_request: int = 1
    gpu_request_type: GpuRequestType | None = None
    gpu_portion_request: float | None = None
    mig_profile: str | None = None


class ComputePreset(Schema):
    """A request for GPUs that this cluster can serve."""

    meta: AssetMeta
    spec: PresetSpec
    node_type: str | None = None
    """What stands in spec.nodeType beside it; null: any GPU model."""


class ComputePresets(Schema):
    """All presets."""

    entries: list[ComputePreset]


class EnvironmentAssets(Schema):
    """Environments: there are none."""

    entries: tuple[()] = ()
