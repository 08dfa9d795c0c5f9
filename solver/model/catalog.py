"""The GPU models we know, by id, from the package's data files.

Sources are named in solver/data/*.json. For simulation and cross-checks: on real hardware the
live profile table wins, since usable memory and names differ by driver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from solver.model.geometry import Engines, GpuModel, Profile


class UnknownModel(LookupError):
    """No model of that name; the text lists those there are."""


@cache
def models() -> Mapping[str, GpuModel]:
    """Every known model by id, those without MIG included."""
    with_mig = [_mig_model(row) for row in _rows("mig_profiles.json")]
    without = [
        GpuModel(row["id"], row["product"], row["architecture"], row["memory_total_mib"])
        for row in _rows("models_without_mig.json")
    ]
    return MappingProxyType({model.id: model for model in (*with_mig, *without)})


def find(name: str) -> GpuModel:
    """The model people mean: its id in any case, or the shortest id that begins with the name."""
    wanted = name.strip().lower()
    matches = [m for m in models().values() if m.id.lower() == wanted] or sorted(
        (m for m in models().values() if re.match(rf"{re.escape(wanted)}(-|$)", m.id.lower())), key=lambda m: len(m.id)
    )
    if not matches:
        raise UnknownModel(f"no GPU model is called {name!r}; known: {', '.join(sorted(models()))}")
    return matches[0]


def _rows(file: str) -> list[dict[str, Any]]:
    text = resources.files("solver").joinpath("data", file).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)["gpus"]
    return rows


def _mig_model(row: dict[str, Any]) -> GpuModel:
    profiles = tuple(_profile(p) for p in row["profiles"])
    slices = row["compute_slices"]
    full = next((p for p in profiles if p.slices == slices and not p.variant), None)
    return GpuModel(
        id=row["id"],
        product=row["product"],
        architecture=row["architecture"],
        memory_mib=row["memory_total_mib"] or (row["memory_nominal_gb"] or 0) * 1024,
        units=row["placement_units"] or 0,
        slices=slices,
        profiles=profiles,
        engines=full.engines if full else None,
        mig_mode_needs_reset=bool(row["mig_mode_toggle_needs_gpu_reset"]),
    )


def _profile(row: dict[str, Any]) -> Profile:
    engines = (row["decoders"], row["jpeg"], row["ofa"])
    return Profile(
        name=row["name"],
        enum=row["nvml_enum"],
        board_id=row["board_profile_id"],
        slices=row["compute_slices"],
        size=row["placement_size"] or 0,
        starts=tuple(row["placement_starts"] or ()),
        memory_mib=row["memory_mib"] or None,
        max_count=row["max_instances"],
        multiprocessors=row["multiprocessors"],
        engines=None if None in engines else Engines(*engines),
    )
