"""The ResourceClaim controller of the controller-manager: makes claims of templates, and ends them.

After the last user an allocation is cleared only where the delete-protection finalizer stands.
"""

from __future__ import annotations

from typing import Any

from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_cluster.standin import StandIn

FINALIZER = "resource.kubernetes.io/delete-protection"


class ClaimController(StandIn):
    watches = ("pods", "resourceclaims", "resourceclaimtemplates")

    async def handle(self, plural: str, change: str, obj: Json) -> None:
        if plural == "resourceclaimtemplates":
            for pod in self.api.storage.all("pods", obj["metadata"]["namespace"]):
                self._generate(pod)  # Kubernetes tries again, too, where a template was missing
            return
        if plural == "pods" and change != "DELETED" and "deletionTimestamp" not in obj["metadata"]:
            self._generate(obj)
        if plural == "pods":
            for status in obj.get("status", {}).get("resourceClaimStatuses", []):
                claim = self.get("resourceclaims", obj["metadata"]["namespace"], status["resourceClaimName"])
                if claim is not None:
                    self._settle(claim)
        elif change != "DELETED":
            self._settle(obj)

    def _generate(self, seen: Json) -> None:
        """Claims for a pod as it is now: news of it may be late, and a claim is made once."""
        namespace, name = seen["metadata"]["namespace"], seen["metadata"]["name"]
        pod = self.get("pods", namespace, name)
        if pod is None or pod["metadata"]["uid"] != seen["metadata"]["uid"]:
            return
        done = {status["name"] for status in pod["status"].get("resourceClaimStatuses", [])}
        statuses = list(pod["status"].get("resourceClaimStatuses", []))
        for wanted in pod["spec"].get("resourceClaims", []):
            template = self.get("resourceclaimtemplates", namespace, wanted.get("resourceClaimTemplateName", ""))
            if wanted["name"] in done or template is None or pod["status"].get("phase") in ("Succeeded", "Failed"):
                continue
            reference = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": name,
                "uid": pod["metadata"]["uid"],
                "controller": True,
            }
            claim = self.create(
                "resourceclaims",
                namespace,
                {
                    "metadata": {"generateName": f"{name}-{wanted['name']}-", "ownerReferences": [reference]},
                    "spec": template["spec"]["spec"],
                },
            )
            if claim is not None:
                statuses.append({"name": wanted["name"], "resourceClaimName": claim["metadata"]["name"]})
        if len(statuses) > len(done):
            self.set_status("pods", pod, resourceClaimStatuses=statuses)

    def _settle(self, claim: Json) -> None:
        """Drop users that do not exist any more, clear what nobody uses, delete what nobody owns."""
        users = [user for user in claim["status"].get("reservedFor", []) if self._uses(claim, user)]
        changed = copied(claim)
        if users != claim["status"].get("reservedFor", []):
            changed["status"]["reservedFor"] = users
            if not users:
                changed["status"].pop("reservedFor")
                if FINALIZER in claim["metadata"].get("finalizers", []):
                    changed["status"].pop("allocation", None)
        leaving = "deletionTimestamp" in claim["metadata"]
        protected = FINALIZER in claim["metadata"].get("finalizers", [])
        if leaving and protected and not users:
            changed["status"].pop("allocation", None)
            self.update("resourceclaims", claim, changed)
            self._unprotect(claim)
            return
        self.update("resourceclaims", claim, changed)
        if not leaving and self._abandoned(claim):
            self.delete("resourceclaims", claim)

    def _unprotect(self, claim: Json) -> None:
        newest = self.get("resourceclaims", claim["metadata"]["namespace"], claim["metadata"]["name"])
        if newest is not None:
            changed = copied(newest)
            changed["metadata"]["finalizers"] = [f for f in newest["metadata"]["finalizers"] if f != FINALIZER]
            self.update("resourceclaims", newest, changed)

    def _uses(self, claim: Json, user: dict[str, Any]) -> bool:
        pod = self.get("pods", claim["metadata"]["namespace"], user["name"])
        alive = pod is not None and pod["metadata"]["uid"] == user["uid"]
        return alive and pod is not None and pod["status"].get("phase") not in ("Succeeded", "Failed")

    def _abandoned(self, claim: Json) -> bool:
        """Whether the pod it was made for is deleted or has ended."""
        reference = next(iter(claim["metadata"].get("ownerReferences", [])), None)
        if reference is None:
            return False
        pod = self.get("pods", claim["metadata"]["namespace"], reference["name"])
        if pod is None or pod["metadata"]["uid"] != reference["uid"]:
            return True
        return bool(pod["status"].get("phase") in ("Succeeded", "Failed"))
