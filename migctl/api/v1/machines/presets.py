"""Compute presets: what of a GPU can be asked for here, made of the GPUs that the caller may see."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from migctl.api.v1.schemas.assets import AssetMeta, ComputePreset, PresetSpec
from migctl.api.v1.schemas.workload_specs import GpuRequestType
from migctl.api.v1.service import CallersService
from migctl.objects import GpuNode

PORTIONS = (0.1, 0.25, 0.5)
BEGINNING = datetime.fromtimestamp(0, UTC)
"""Where no node says when it came."""

Preset = tuple[str, str, PresetSpec, str | None]
"""Name, description, spec and GPU model."""


def presets(door: CallersService) -> list[ComputePreset]:
    """By name: portions of a GPU, whole GPUs of each model, MIG profiles of those in MIG mode."""
    nodes = door.seen.all(GpuNode)
    since = min((node.meta.created for node in nodes if node.meta.created is not None), default=BEGINNING)
    cluster = door.service.cluster.uid
    return [
        ComputePreset(
            meta=AssetMeta(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{cluster}/compute/{name}")),
                name=name,
                description=description,
                cluster_id=cluster,
                created_at=since,
                updated_at=since,
            ),
            spec=spec,
            node_type=model,
        )
        for name, description, spec, model in sorted(_of(nodes), key=lambda one: one[0])
    ]


def _of(nodes: tuple[GpuNode, ...]) -> Iterator[Preset]:
    reports = [node.status.report for node in nodes if node.status.report is not None]
    models = {report.models[gpu.model].id: report.models[gpu.model] for report in reports for gpu in report.gpus}
    sliced = {report.models[gpu.model].id for report in reports for gpu in report.gpus if gpu.mig}
    for portion in PORTIONS if models else ():
        spec = PresetSpec(gpu_request_type=GpuRequestType.PORTION, gpu_portion_request=portion)
        yield f"portion-{round(portion * 100)}", f"{portion:.0%} of a GPU", spec, None
    for name, model in models.items():
        yield _name("gpu", name), f"a whole {model.product}", PresetSpec(), name
        for profile in model.profiles if name in sliced else ():
            title = _name("mig", name, profile.name.replace("+", "-plus-"))
            yield title, f"MIG {profile.name} of a {model.product}", PresetSpec(mig_profile=profile.name), name


def _name(*words: str) -> str:
    """A name as workloads may have it too."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).casefold()).strip("-")
