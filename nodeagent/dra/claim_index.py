"""Which ResourceClaim a held uid belongs to: the kubelet names it with Prepare, and it may have to be found again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nodeagent.journal.durable import replace


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """A ResourceClaim as the kubelet names it."""

    namespace: str
    name: str
    uid: str


class ClaimIndex:
    """A file per claim in `directory`, from before it is prepared until it was taken back. Methods raise OSError.

    A claim whose file a loss of power took is not taken back by ourselves: nothing else depends on it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def note(self, ref: ClaimRef) -> None:
        content = msgspec.json.encode(ref)
        path = self._path(ref.uid)
        if not (path.exists() and path.read_bytes() == content):
            replace(path, content, lasting=False)

    def find(self, uid: str) -> ClaimRef | None:
        """None where nobody noted the claim, or not in full."""
        try:
            return msgspec.json.decode(self._path(uid).read_bytes(), type=ClaimRef)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def forget(self, uid: str) -> None:
        self._path(uid).unlink(missing_ok=True)

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget all other claims."""
        kept = {self._path(uid).name for uid in uids}
        for path in self._directory.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _path(self, uid: str) -> Path:
        return self._directory / f"{uid}.json"
