"""The node's GpuNode: the agent's newest report, with the time it was made as a heartbeat."""

from __future__ import annotations

from datetime import UTC, datetime

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.merge_patch import difference
from nodeagent.contract.wire import API_VERSION, report_to_json
from nodeagent.kubernetes.client import ApiConflict, ApiError, ApiNotFound, Json, KubernetesClient
from nodeagent.node_status.publication import status_fields

_PATH = f"/apis/{API_VERSION}/gpunodes"


class GpuNodeWriter:
    """One GpuNode, created where there is none. Methods raise ApiError.

    uid           its own; "" before the first write
    spec, status  as the response to the last write has them: with every heartbeat the agent learns what is desired
    """

    def __init__(self, client: KubernetesClient, node: str) -> None:
        self._client, self._node = client, node
        self.spec: Json = {}
        self.status: Json = {}
        self.uid = ""

    def publish(self, report: NodeReport, now: datetime) -> None:
        """Write a report to the status."""
        fields = status_fields(report, now)
        self._write({**fields, "report": report_to_json(report), "reported": _stamp(now)})

    def leave(self, why: str) -> None:
        """Write that the agent prepares nothing until it reports again."""
        self._write({"ready": False, "message": why})

    def write_dynamic_mig(self, changes: Json) -> None:
        """Patch what became of the desired MIG modes. From any thread: it does not count as the last write."""
        self._client.patch(f"{_PATH}/{self._node}/status", {"status": changes})

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
            self._client.create(_PATH, {"apiVersion": API_VERSION, "kind": "GpuNode", "metadata": {"name": self._node}})
        except ApiConflict:
            return
        except ApiNotFound as e:
            raise ApiError("the cluster does not know GpuNodes: install migctl's custom resources") from e

    def _patch(self, fields: Json) -> Json:
        """Send only what differs. Before the first write what is stored is unknown, and read.

        Readiness is sent every time: the controller sets it to false when it has heard nothing of a node for long.
        """
        if not self.uid:
            self.status = self._client.get(f"{_PATH}/{self._node}").get("status") or {}
        changes = difference(self.status, {**self.status, **fields})
        changes |= {name: fields[name] for name in ("ready", "message")}
        return self._client.patch(f"{_PATH}/{self._node}/status", {"status": changes})


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
