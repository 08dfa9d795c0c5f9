"""One CDI spec file per claim, or per request of one with several: from Prepare to Unprepare, written whole, for root.

They need not survive a loss of power: every start of the agent writes those of held claims again.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from nodeagent.cdi.edits import ContainerEdits, spec
from nodeagent.contract.wire import DRIVER
from nodeagent.journal.durable import replace

KIND = f"{DRIVER}/claim"
_PREFIX = f"{DRIVER}-claim_"  # vendor-class_id: how the specification names files of transient devices


class SpecFiles:
    """The specs of this driver in a directory that other drivers use too. Methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)

    def write(self, claim: str, edits: ContainerEdits) -> str:
        """Write a claim's spec. Returns the device name that the kubelet passes to the runtime."""
        content = msgspec.json.format(msgspec.json.encode(spec(KIND, claim, edits)))
        path = self._path(claim)
        if not (path.exists() and path.read_bytes() == content):
            replace(path, content, mode=0o600, lasting=False)
        return f"{KIND}={claim}"

    def remove(self, claim: str) -> None:
        self._path(claim).unlink(missing_ok=True)

    def remove_except(self, claims: Collection[str]) -> None:
        """Remove the specs of all other claims, and what a crash left of writing one."""
        current = {self._path(claim).name for claim in claims}
        for path in self._directory.iterdir():
            if path.name.lstrip(".").startswith(_PREFIX) and path.name not in current:
                path.unlink(missing_ok=True)

    def devices(self) -> set[str]:
        """The claims and requests that have a spec."""
        return {path.stem.removeprefix(_PREFIX) for path in self._directory.glob(f"{_PREFIX}*.json")}

    def exists(self, claim: str) -> bool:
        return self._path(claim).exists()

    def _path(self, claim: str) -> Path:
        return self._directory / f"{_PREFIX}{claim}.json"
