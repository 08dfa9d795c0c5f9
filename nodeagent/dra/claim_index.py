"""Which ResourceClaim a held uid belongs to: the kubelet names it with Prepare only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodeagent.journal.durable import replace


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A ResourceClaim as the kubelet names it. `pods`: uids of those that use it, where they are known."""

    namespace: str
    name: str
    uid: str
    pods: tuple[str, ...] = ()


class ClaimIndex:
    """A file per claim in `directory`, from before Prepare until after Unprepare. Methods raise OSError.

    A file may be lost with the machine's power: then its claim is not reclaimed; nothing else depends on it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, ref: ClaimRef) -> None:
        """Write a claim's file, unless it is there already."""
        content = msgspec.json.encode(ref)
        path = self._path(ref.uid)
        if not (path.exists() and path.read_bytes() == content):
            replace(path, content, lasting=False)

    def find(self, uid: str) -> ClaimRef | None:
        """None where the claim was not added, or its file is damaged."""
        try:
            return msgspec.json.decode(self._path(uid).read_bytes(), type=ClaimRef)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def remove(self, uid: str) -> None:
        self._path(uid).unlink(missing_ok=True)

    def remove_except(self, uids: Collection[str]) -> None:
        """Remove all other claims."""
        current = {self._path(uid).name for uid in uids}
        for path in self._directory.iterdir():
            if path.name not in current:
                path.unlink(missing_ok=True)

    def _path(self, uid: str) -> Path:
        return self._directory / f"{uid}.json"
