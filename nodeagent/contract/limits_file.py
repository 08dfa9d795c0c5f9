"""The file that says how much memory a claim may use of the GPUs it shares: environment.LIMITS names it.

JSON: {"claim": uid, "devices": {GPU UUID: {"memory_mib": n, "portion": x}}}, x from 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nodeagent import untrusted

if TYPE_CHECKING:
    from solver.model.demand import DeviceShare

_MAX_BYTES = 64 * 1024


def text(claim: str, shares: Iterable[DeviceShare]) -> str:
    """The file's content for a claim's shares."""
    devices = {s.gpu: {"memory_mib": s.memory_mib, "portion": s.portion} for s in shares}
    return json.dumps({"claim": claim, "devices": devices})


def read(path: Path) -> dict[str, int]:
    """MiB by GPU UUID. Raises OSError, and ValueError or KeyError where it is another file."""
    devices = json.loads(untrusted.read(path, _MAX_BYTES))["devices"]
    return {uuid: device["memory_mib"] for uuid, device in devices.items()}
