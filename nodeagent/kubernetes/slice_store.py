"""Writes the node's ResourceSlices, also again where the kubelet has deleted them."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec

from nodeagent.contract.wire import DRIVER
from nodeagent.kubernetes.claims import RESOURCE_API
from nodeagent.kubernetes.client import ApiNotFound, Json, KubernetesClient

_PATH = f"/apis/{RESOURCE_API}/resourceslices"
_DIGEST = "migctl.dev/content"
_MAX_LENGTH = 220  # of a name, without the driver's name and a number


class SliceStore:
    """The slices of one node. The pool's generation grows with every change, as readers expect."""

    def __init__(self, client: KubernetesClient, node: str) -> None:
        self._client, self._node = client, node

    def replace(self, specs: list[Json], owner: Json) -> bool:
        """Make `specs` the node's slices; whether anything was written. Raises ApiError.

        owner  an owner reference: the slices are deleted with that object
        """
        stored = {item["metadata"]["name"]: item for item in self._list()}
        names = [_name(self._node, number) for number in range(len(specs))]
        digests = {name: item["metadata"].get("annotations", {}).get(_DIGEST) for name, item in stored.items()}
        if digests == {name: _digest(spec) for name, spec in zip(names, specs, strict=True)}:
            return False
        generation = 1 + max((item["spec"]["pool"]["generation"] for item in stored.values()), default=0)
        for name, spec in zip(names, specs, strict=True):
            pool = {**spec["pool"], "generation": generation}
            metadata = {"name": name, "ownerReferences": [owner], "annotations": {_DIGEST: _digest(spec)}}
            self._write(metadata, {**spec, "pool": pool}, stored.get(name))
        for name in stored.keys() - set(names):
            with contextlib.suppress(ApiNotFound):
                self._client.delete(f"{_PATH}/{name}")
        return True

    def _list(self) -> list[Json]:
        selector = f"spec.nodeName={self._node},spec.driver={DRIVER}"
        items: list[Json] = self._client.get(_PATH, {"fieldSelector": selector})["items"]
        return items

    def _write(self, metadata: Json, spec: Json, stored: Json | None) -> None:
        body = {"apiVersion": RESOURCE_API, "kind": "ResourceSlice", "metadata": metadata, "spec": spec}
        if stored is None:
            self._client.create(_PATH, body)
        else:
            metadata |= {key: stored["metadata"][key] for key in ("uid", "resourceVersion")}
            self._client.replace(f"{_PATH}/{metadata['name']}", body)


def _name(node: str, number: int) -> str:
    if len(node) > _MAX_LENGTH:
        node = f"{node[:_MAX_LENGTH]}-{hashlib.sha256(node.encode()).hexdigest()[:8]}"
    return f"{node}-{DRIVER}-{number}"


def _digest(spec: Json) -> str:
    """Of what we wrote: the API server stores it changed (quantities, times of taints)."""
    return hashlib.sha256(msgspec.json.encode(spec, order="deterministic")).hexdigest()[:16]
