"""The node's GpuNode: the agent's newest report, with the time it was made as a heartbeat."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import API_VERSION, report_to_json
from nodeagent.kubernetes.client import ApiConflict, ApiError, ApiNotFound, Json, KubernetesClient

_PATH = f"/apis/{API_VERSION}/gpunodes"


class GpuNodeWriter:
    """One GpuNode, made where there is none. Methods raise ApiError. `uid`: its own, once it was written.

    spec, status  as the answer to the last write had them: what admins wish is heard of with every heartbeat
    """

    def __init__(self, api: KubernetesClient, node: str) -> None:
        self._api, self._node = api, node
        self._report: NodeReport | None = None
        self.spec: Json = {}
        self.status: Json = {}
        self.uid = ""

    def publish(self, report: NodeReport, now: datetime) -> None:
        """Make the status say what the report says."""
        told = {"report": report_to_json(report), "reported": _stamp(now), "ready": True, "message": ""}
        self._write(told)
        self._report = report

    def leave(self, why: str) -> None:
        """Say that the agent takes nothing until it reports again."""
        self._write({"ready": False, "message": why})
        self._report = None

    def answer_mode(self, answer: Json | None) -> None:
        """Say what came of the wish for a MIG mode. From any thread: it does not count as the last write."""
        self._api.patch(f"{_PATH}/{self._node}/status", {"status": {"dynamicMig": answer}})

    def differs(self, report: NodeReport) -> bool:
        """Whether GPUs, layouts or holders are not as published. Processes come and go: those alone can wait."""
        if self._report is None:
            return True
        return replace(report, processes=()) != replace(self._report, processes=())

    def _write(self, fields: Json) -> None:
        try:
            written = self._patch(fields)
        except ApiNotFound:
            self._create()
            self.uid = ""
            written = self._patch(fields)
        self.spec, self.status = written.get("spec") or {}, written.get("status") or {}
        self.uid = written["metadata"]["uid"]

    def _create(self) -> None:
        try:
            self._api.create(_PATH, {"apiVersion": API_VERSION, "kind": "GpuNode", "metadata": {"name": self._node}})
        except ApiConflict:
            return
        except ApiNotFound as e:
            raise ApiError("the cluster does not know GpuNodes: install migctl's custom resources") from e

    def _patch(self, fields: Json) -> Json:
        """Only what differs travels. Before the first write nothing is known of what is stored: it is read.

        Readiness is said every time: the controller takes it from a node whose agent was silent.
        """
        if not self.uid:
            self.status = self._api.get(f"{_PATH}/{self._node}").get("status") or {}
        changes = merge_patch(self.status, {**self.status, **fields})
        changes |= {name: fields[name] for name in ("ready", "message")}
        return self._api.patch(f"{_PATH}/{self._node}/status", {"status": changes})


def merge_patch(before: Json, after: Json) -> Json:
    """The JSON merge patch (RFC 7396) that makes `after` of `before`."""
    patch: Json = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old: Any = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            if nested := merge_patch(old, value):
                patch[key] = nested
        elif key not in before or value != old:
            patch[key] = value
    return patch


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
