"""JSON merge patches (RFC 7396), by which control plane and node agent change objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `after` of `before`: null removes a key, an object merges, everything else replaces."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if nested := difference(old, value):
                patch[key] = nested
        elif key not in before or old != value:
            patch[key] = value
    return patch
