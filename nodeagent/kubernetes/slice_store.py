"""Keeps the node's ResourceSlices as they should be, also where the kubelet has deleted them."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec

from nodeagent.contract.wire import DRIVER
from nodeagent.kubernetes.client import ApiNotFound, Json, KubernetesClient
from nodeagent.kubernetes.slices import API_VERSION

_PATH = f"/apis/{API_VERSION}/resourceslices"
_MARK = "migctl.dev/content"
_LONGEST = 220  # of a name: room is left for the driver's name and a number


class SliceStore:
    """The slices of one node. The pool's generation grows with every change, as readers expect."""

    def __init__(self, api: KubernetesClient, node: str) -> None:
        self._api, self._node = api, node

    def keep(self, specs: list[Json], owner: Json) -> bool:
        """Make the node's slices say `specs`; whether anything was written. Raises ApiError.

        owner  the reference that takes the slices away with what they are about
        """
        stored = {item["metadata"]["name"]: item for item in self._list()}
        names = [_name(self._node, number) for number in range(len(specs))]
        marks = {name: item["metadata"].get("annotations", {}).get(_MARK) for name, item in stored.items()}
        if marks == {name: _mark(spec) for name, spec in zip(names, specs, strict=True)}:
            return False
        generation = 1 + max((item["spec"]["pool"]["generation"] for item in stored.values()), default=0)
        for name, spec in zip(names, specs, strict=True):
            pool = {**spec["pool"], "generation": generation}
            metadata = {"name": name, "ownerReferences": [owner], "annotations": {_MARK: _mark(spec)}}
            self._write(metadata, {**spec, "pool": pool}, stored.get(name))
        for name in stored.keys() - set(names):
            with contextlib.suppress(ApiNotFound):
                self._api.delete(f"{_PATH}/{name}")
        return True

    def _list(self) -> list[Json]:
        selector = f"spec.nodeName={self._node},spec.driver={DRIVER}"
        items: list[Json] = self._api.get(_PATH, {"fieldSelector": selector})["items"]
        return items

    def _write(self, metadata: Json, spec: Json, stored: Json | None) -> None:
        body = {"apiVersion": API_VERSION, "kind": "ResourceSlice", "metadata": metadata, "spec": spec}
        if stored is None:
            self._api.create(_PATH, body)
        else:
            metadata |= {key: stored["metadata"][key] for key in ("uid", "resourceVersion")}
            self._api.replace(f"{_PATH}/{metadata['name']}", body)


def _name(node: str, number: int) -> str:
    if len(node) > _LONGEST:
        node = f"{node[:_LONGEST]}-{hashlib.sha256(node.encode()).hexdigest()[:8]}"
    return f"{node}-{DRIVER}-{number}"


def _mark(spec: Json) -> str:
    """Stands for what we wrote: the API server stores it in other words (quantities, times of taints)."""
    return hashlib.sha256(msgspec.json.encode(spec, order="deterministic")).hexdigest()[:16]
