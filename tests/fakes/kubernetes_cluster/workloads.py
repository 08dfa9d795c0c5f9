"""The Job, StatefulSet and Deployment controllers, and the garbage collector, as far as pods go."""

from __future__ import annotations

import itertools

from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_cluster.standin import StandIn, owner, with_condition

PLURALS = {"Job": "jobs", "StatefulSet": "statefulsets", "Deployment": "deployments", "Project": "projects"}
PLURALS |= {"Pod": "pods", "Namespace": "namespaces"}
_counter = itertools.count(1)


class WorkloadControllers(StandIn):
    """Makes pods and counts them. A Deployment makes its pods itself here, without a ReplicaSet between."""

    watches = ("jobs", "statefulsets", "deployments", "pods")

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        if plural == "pods":
            for reference in obj["metadata"].get("ownerReferences", []):
                kind = {"ReplicaSet": "Deployment"}.get(reference["kind"], reference["kind"])
                found = self.get(PLURALS.get(kind, ""), obj["metadata"]["namespace"], reference["name"])
                if found is not None and found["metadata"]["uid"] == reference["uid"]:
                    self._reconcile(PLURALS[kind], found)
        elif change != "DELETED":
            self._reconcile(plural, obj)

    def _reconcile(self, plural: str, obj: Json) -> None:
        if "deletionTimestamp" in obj["metadata"]:
            return
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        pods = [
            pod
            for pod in self.api.storage.all("pods", namespace)
            if any(reference["uid"] == uid for reference in pod["metadata"].get("ownerReferences", []))
        ]
        if plural == "jobs":
            self._job(obj, pods)
        else:
            self._replicas(plural, obj, pods)

    def _job(self, job: Json, pods: list[Json]) -> None:
        spec = job["spec"]
        status = job.get("status", {})
        if any(c["type"] in ("Complete", "Failed") for c in status.get("conditions", [])):
            return
        counted = set(status.get("uncountedTerminatedPods", {}).get("seen", []))
        done, failed, given_up = status.get("succeeded", 0), status.get("failed", 0), False
        for pod in pods:
            phase, uid = pod["status"].get("phase"), pod["metadata"]["uid"]
            if phase not in ("Succeeded", "Failed") or uid in counted:
                continue
            counted.add(uid)
            done += phase == "Succeeded"
            action = _failure_action(spec, pod) if phase == "Failed" else "Ignore"
            failed += action != "Ignore"
            given_up = given_up or action == "FailJob"
        active = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        completions = spec.get("completions", spec.get("parallelism", 1))
        conditions = status.get("conditions", [])
        if done >= completions:
            conditions = with_condition(job, "Complete", status="True")
        elif given_up:
            conditions = with_condition(job, "Failed", status="True", reason="PodFailurePolicy")
        elif failed > spec.get("backoffLimit", 6):
            conditions = with_condition(job, "Failed", status="True", reason="BackoffLimitExceeded")
        elif spec.get("suspend"):
            for pod in active:
                self.delete("pods", pod)
        else:
            wanted = min(spec.get("parallelism", 1), completions - done) - len(active)
            taken = {pod["metadata"].get("labels", {}).get(INDEX) for pod in active}
            indexes = (i for i in itertools.count() if str(i) not in taken)
            for _ in range(max(0, wanted)):
                self._make_pod("Job", job, labels={"job-name": job["metadata"]["name"], INDEX: str(next(indexes))})
        fields = {
            "active": len(active),
            "succeeded": done,
            "failed": failed,
            "conditions": conditions,
            "uncountedTerminatedPods": {"seen": sorted(counted)},
        }
        self.set_status("jobs", job, **fields)

    def _replicas(self, plural: str, obj: Json, pods: list[Json]) -> None:
        kind = "StatefulSet" if plural == "statefulsets" else "ReplicaSet"
        for pod in pods:
            if pod["status"].get("phase") in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]:
                self.delete("pods", pod)
        names = {pod["metadata"]["name"] for pod in pods}
        replicas = obj["spec"].get("replicas", 1)
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        for pod in living[replicas:]:
            self.delete("pods", pod)
        if kind == "StatefulSet":
            for index in range(replicas):
                name = f"{obj['metadata']['name']}-{index}"
                if name not in names:
                    self._make_pod("StatefulSet", obj, name=name, labels={"apps.kubernetes.io/pod-index": str(index)})
        else:
            for _ in range(replicas - len(living)):
                self._make_pod("Deployment", obj, reference="ReplicaSet", labels={"pod-template-hash": "h"})
        ready = sum(pod["status"].get("phase") == "Running" for pod in living)
        self.set_status(plural, obj, replicas=len(living), readyReplicas=ready)

    def _make_pod(self, kind: str, obj: Json, *, labels: dict[str, str], name: str = "", reference: str = "") -> None:
        template = copied(obj["spec"]["template"])
        meta = template.setdefault("metadata", {})
        meta["labels"] = {**meta.get("labels", {}), **labels}
        made_by = owner(kind, obj)
        if reference:
            made_by |= {"kind": reference, "name": f"{obj['metadata']['name']}-h"}
        meta["ownerReferences"] = [made_by]
        if name:
            meta["name"] = name
        else:
            meta["generateName"] = f"{obj['metadata']['name']}-"
        self.create("pods", obj["metadata"]["namespace"], template)


def _failure_action(spec: Json, pod: Json) -> str:
    """What the Job's failure policy says of a failed pod: of its first rule that matches."""
    conditions = {c["type"] for c in pod["status"].get("conditions", []) if c.get("status") == "True"}
    states = [status["state"] for status in pod["status"].get("containerStatuses", [])]
    codes = {state["terminated"]["exitCode"] for state in states if "terminated" in state}
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        on_codes = rule.get("onExitCodes", {"operator": "In", "values": []})
        named = codes & set(on_codes["values"]) if on_codes["operator"] == "In" else codes - set(on_codes["values"])
        if named or conditions & {condition["type"] for condition in rule.get("onPodConditions", [])}:
            return str(rule["action"])
    return "Count"


INDEX = "batch.kubernetes.io/job-completion-index"


class GarbageCollector(StandIn):
    """Deletes what belonged to something that does not exist any more, and what is in a namespace that is."""

    watches = ("jobs", "statefulsets", "deployments", "pods", "projects", "namespaces")

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        if change != "DELETED":
            return
        uid = obj["metadata"]["uid"]
        for dependents in ("pods", "resourceclaims", "resourceclaimtemplates", "namespaces"):
            for dependent in self.api.storage.all(dependents):
                owned = any(r["uid"] == uid for r in dependent["metadata"].get("ownerReferences", []))
                inside = plural == "namespaces" and dependent["metadata"].get("namespace") == obj["metadata"]["name"]
                if owned or inside:
                    self.delete(dependents, dependent)
