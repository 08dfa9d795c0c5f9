"""kube-scheduler, as far as claims go: reserves allocated claims and binds, or says why it cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from migctl.backends.kubernetes.client import pod_kinds
from migctl.backends.kubernetes.client.resources import NODES, PODS
from migctl.backends.kubernetes.meaning import record_of, records
from migctl.backends.kubernetes.meaning.node_affinity import refusal
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_cluster.standin import StandIn, condition, with_condition


class Scheduler(StandIn):
    """Binds to the node that the claims' allocations name. `refuses`: why it will not, for reasons of its own."""

    watches = ("pods", "resourceclaims", "nodes")
    refuses: Callable[[str, Json], str] | None = None

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        if plural == "pods" and change != "DELETED":
            self._schedule(obj)
        elif plural == "resourceclaims" and change != "DELETED":
            for reference in obj["metadata"].get("ownerReferences", []):
                pod = self.get("pods", obj["metadata"]["namespace"], reference["name"])
                if pod is not None:
                    self._schedule(pod)
        elif plural == "nodes":
            for pod in self.api.storage.all("pods"):
                self._schedule(pod)

    def _schedule(self, pod: Json) -> None:
        newest = self.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        if newest is None or newest["spec"].get("nodeName") or "deletionTimestamp" in newest["metadata"]:
            return
        if newest["spec"].get("schedulingGates"):
            self._say(newest, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
            return
        claims = self._claims(newest)
        if claims is None:
            self._say(newest, "Unschedulable", "cannot allocate all claims")
            return
        if not claims:
            return
        node = claims[0]["status"]["allocation"]["devices"]["results"][0]["pool"]
        why = self._refuses(node, newest)
        if why:
            self._say(newest, "Unschedulable", f"0/1 nodes are available: 1 {why}")
            return
        for claim in claims:
            if "allocationTimestamp" not in claim["status"]["allocation"]:
                self._say(newest, "Unschedulable", "status.allocation: Invalid value: field is immutable")
                return
            self._reserve(claim, newest)
        with contextlib.suppress(Refused):
            self.api.bind(newest["metadata"]["namespace"], newest["metadata"]["name"], node)

    def _claims(self, pod: Json) -> list[Json] | None:
        """The pod's claims, None where one of them has no allocation."""
        found = []
        named = {s["name"]: s["resourceClaimName"] for s in pod["status"].get("resourceClaimStatuses", [])}
        for wanted in pod["spec"].get("resourceClaims", []):
            claim = self.get("resourceclaims", pod["metadata"]["namespace"], named.get(wanted["name"], ""))
            if claim is None or "allocation" not in claim["status"] or "deletionTimestamp" in claim["metadata"]:
                return None
            found.append(claim)
        return found

    def _refuses(self, name: str, pod: Json) -> str:
        node = self.get("nodes", "", name)
        if node is None:
            return "node is gone"
        if self.refuses is not None and (why := self.refuses(name, pod)):
            return why
        record = record_of.node(NODES.one.decode(_encoded(node)))
        own: pod_kinds.Pod = PODS.one.decode(_encoded(pod))
        wanted = record_of.pod(own)
        assert isinstance(wanted, records.GpuPod)
        if why := refusal(record, wanted.constraints):
            return why
        others = [
            record_of.pod(PODS.one.decode(_encoded(p)))
            for p in self.api.storage.all("pods")
            if p["spec"].get("nodeName") == name
        ]
        if sum(p.requests[0] for p in others) + wanted.requests[0] > record.allocatable[0]:
            return "Insufficient cpu"
        if sum(p.requests[1] for p in others) + wanted.requests[1] > record.allocatable[1]:
            return "Insufficient memory"
        return ""

    def _reserve(self, claim: Json, pod: Json) -> None:
        user = {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        if user not in claim["status"].get("reservedFor", []):
            changed = copied(claim)
            changed["status"].setdefault("reservedFor", []).append(user)
            self.update("resourceclaims", claim, changed)

    def _say(self, pod: Json, reason: str, message: str) -> None:
        said = condition(pod, "PodScheduled")
        if (said.get("reason"), said.get("message")) != (reason, message):
            conditions = with_condition(pod, "PodScheduled", status="False", reason=reason, message=message)
            self.set_status("pods", pod, conditions=conditions)


def _encoded(obj: Json) -> bytes:
    return msgspec.json.encode(obj)
