"""Compute presets, made of what the cluster has, and environments, of which there are none."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from migctl.api.v1.machines.presets import presets
from migctl.api.v1.routes.submission import NOT_FOUND
from migctl.api.v1.schemas.assets import ComputePreset, ComputePresets, EnvironmentAssets
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.service import Door
from migctl.backends.protocol import NotFound

routes = APIRouter(prefix="/asset", tags=["assets"], responses=NOT_FOUND)

Name = Annotated[Text, Query(description="Only the one of this name.")]


@routes.get("/compute", response_model_exclude_none=True)
async def list_presets(door: Door, name: Name = "") -> ComputePresets:
    """Requests for GPUs that this cluster can serve; spec and nodeType go into a workload's spec as they are."""
    return ComputePresets(entries=[one for one in presets(door) if name in ("", one.meta.name)])


@routes.get("/compute/{asset_id}", response_model_exclude_none=True)
async def get_preset(door: Door, asset_id: str) -> ComputePreset:
    """A preset, by its id or name."""
    for one in presets(door):
        if asset_id in (one.meta.id, one.meta.name):
            return one
    raise NotFound(f"there is no compute preset {asset_id[:64]!r}", hint="GET /api/v1/asset/compute lists them")


@routes.get("/environment")
async def list_environments(door: Door, name: Name = "") -> EnvironmentAssets:
    """None: a workload names its image itself."""
    return EnvironmentAssets()


@routes.get("/environment/{asset_id}", responses={200: {"description": "Never."}})
async def get_environment(door: Door, asset_id: str) -> None:
    """There is none."""
    raise NotFound(f"there is no environment {asset_id[:64]!r}", hint="a workload names its image itself: spec.image")
