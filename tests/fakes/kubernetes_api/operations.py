"""The verbs of the API server, without HTTP: what stand-ins for Kubernetes' own components call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.fakes.kubernetes_api import errors, patches, rules
from tests.fakes.kubernetes_api.admission.chain import Admission
from tests.fakes.kubernetes_api.kinds import BY_PLURAL, Kind
from tests.fakes.kubernetes_api.rbac import Attempt, Authorizer
from tests.fakes.kubernetes_api.storage import Json, Storage, copied
from tests.fakes.kubernetes_api.users import ADMIN, User

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


class Operations:
    """One API server's state and rules."""

    def __init__(self, storage: Storage, authorizer: Authorizer | None = None) -> None:
        self.storage = storage
        self.authorizer = authorizer or Authorizer()
        self.admission = Admission(storage)
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._suffixes = itertools.count(1)

    def now(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")

    def authorize(self, user: User, verb: str, kind: Kind, namespace: str, name: str, subresource: str = "") -> None:
        resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
        if not self.authorizer.allows(user.name, Attempt(verb, kind.group, resource, namespace, name)):
            raise errors.forbidden(user.name, verb, resource, kind.group, namespace)

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        found = self.storage.get(kind.plural, namespace, name)
        if found is None:
            raise errors.not_found(kind.plural, name)
        return found

    def create(self, user: User, kind: Kind, namespace: str, body: Json, *, dry_run: bool = False) -> Json:
        obj = copied(body)
        meta = obj.setdefault("metadata", {})
        if kind.namespaced:
            meta["namespace"] = namespace
            if self.storage.get("namespaces", "", namespace) is None:
                raise errors.not_found("namespaces", namespace)
        if "name" not in meta:
            meta["name"] = meta.pop("generateName") + self._suffix()
        if self.storage.get(kind.plural, namespace, meta["name"]) is not None:
            raise errors.already_exists(kind.plural, meta["name"])
        meta.update(uid=self.storage.uid(), creationTimestamp=self.now(), generation=1)
        for field in ("deletionTimestamp", "resourceVersion", "managedFields"):
            meta.pop(field, None)
        obj.setdefault("apiVersion", kind.api)
        obj.setdefault("kind", kind.kind)
        if kind.status:
            obj["status"] = {"phase": "Pending"} if kind.plural == "pods" else {}
        admitted = self.admission.admit(user, "CREATE", kind, obj, None)
        assert admitted is not None
        return admitted if dry_run else self.storage.put(kind.plural, admitted).object

    def patch(
        self, user: User, kind: Kind, namespace: str, name: str, patch: Any, content_type: str, subresource: str = ""
    ) -> Json:
        before = self.get(kind, namespace, name)
        try:
            after = copied(patches.apply(before, patch, content_type))
        except patches.BadPatch as error:
            raise errors.Refused(422, "Invalid", f"the server rejected our request: {error}") from None
        return self.change(user, kind, before, after, subresource)

    def apply(self, user: User, kind: Kind, namespace: str, name: str, body: Json, *, dry_run: bool = False) -> Json:
        """Server-side apply by one manager: created where it is missing, else merged."""
        before = self.storage.get(kind.plural, namespace, name)
        if before is None:
            self.authorize(user, "create", kind, namespace, name)
            return self.create(user, kind, namespace, body, dry_run=dry_run)
        merged = copied(patches.apply(before, body, "application/strategic-merge-patch+json"))
        return merged if dry_run else self.change(user, kind, before, merged)

    def change(self, user: User, kind: Kind, before: Json, after: Json, subresource: str = "") -> Json:
        """Store a new state of an object, as far as the subresource reaches."""
        name = before["metadata"]["name"]
        if after["metadata"].get("uid") != before["metadata"]["uid"]:
            raise errors.conflict(kind.plural, name, "Precondition failed: UID in precondition differs")
        if after["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise errors.conflict(kind.plural, name, "the object has been modified; please apply your changes")
        if subresource == "status":
            after = {**before, "metadata": before["metadata"], "status": after.get("status") or {}}
        elif kind.status:
            after["status"] = before.get("status", {})
        if after == before:
            return before
        after = copied(after)
        rules.check_change(kind.plural, before, after, subresource)
        if subresource == "status" and kind.plural == "resourceclaims":
            for needed in rules.binding_verbs(before, after):
                self.authorize(user, "patch", kind, before["metadata"].get("namespace", ""), name, needed.split("/")[1])
        self.admission.admit(user, "UPDATE", kind, after, before, subresource)
        if not subresource and before.get("spec") != after.get("spec"):
            after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        if _may_go(kind, after["metadata"]):
            return self.storage.remove(kind.plural, after["metadata"].get("namespace", ""), name, after).object
        return self.storage.put(kind.plural, after).object

    def delete(self, kind: Kind, namespace: str, name: str, options: Json | None = None, *, user: User = ADMIN) -> Json:
        """Ask for deletion; pods on a node are their kubelet's to end."""
        obj = self.get(kind, namespace, name)
        self.admission.admit(user, "DELETE", kind, None, obj)
        options = options or {}
        wanted = options.get("preconditions", {}).get("uid")
        if wanted is not None and wanted != obj["metadata"]["uid"]:
            raise errors.conflict(kind.plural, name, "Precondition failed: UID in precondition differs")
        grace = 0
        if kind.plural == "pods" and obj["spec"].get("nodeName"):
            usual = obj["spec"].get("terminationGracePeriodSeconds", 30)
            grace = options.get("gracePeriodSeconds", usual)
            finished = obj["status"].get("phase") in ("Succeeded", "Failed")
            grace = 0 if finished else grace
        if not obj["metadata"].get("finalizers") and grace == 0:
            return self.storage.remove(kind.plural, namespace, name).object
        if "deletionTimestamp" in obj["metadata"]:
            return obj
        marked = copied(obj)
        marked["metadata"].update(deletionTimestamp=self.now(), deletionGracePeriodSeconds=grace)
        return self.storage.put(kind.plural, marked).object

    def evict(self, namespace: str, name: str, body: Json) -> Json:
        """The Eviction API: refused where a disruption budget has none left."""
        pods = BY_PLURAL["pods"]
        pod = self.get(pods, namespace, name)
        for budget in self.storage.all("poddisruptionbudgets", namespace):
            wanted = budget["spec"].get("selector", {}).get("matchLabels", {})
            labels = pod["metadata"].get("labels", {})
            if all(labels.get(k) == v for k, v in wanted.items()) and budget["status"].get("disruptionsAllowed", 0) < 1:
                raise errors.Refused(
                    429,
                    "TooManyRequests",
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    causes=[
                        {
                            "reason": "DisruptionBudget",
                            "message": f"The disruption budget {budget['metadata']['name']} allows no disruption now",
                        }
                    ],
                )
        options = body.get("deleteOptions", {})
        wanted_uid = options.get("preconditions", {}).get("uid")
        if wanted_uid is not None and wanted_uid != pod["metadata"]["uid"]:
            raise errors.conflict("pods", name, "Precondition failed: UID in precondition differs")
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        patch = {"status": {"conditions": [condition]}}
        self.patch(ADMIN, pods, namespace, name, patch, "application/strategic-merge-patch+json", "status")
        self.delete(pods, namespace, name, options)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def bind(self, namespace: str, name: str, node: str) -> None:
        """What kube-scheduler does. A gated pod is refused."""
        pod = self.get(BY_PLURAL["pods"], namespace, name)
        if pod["spec"].get("schedulingGates"):
            raise errors.conflict("pods/binding", name, "pod is gated")
        if pod["spec"].get("nodeName"):
            raise errors.conflict("pods/binding", name, f"pod is already assigned to node {pod['spec']['nodeName']}")
        bound = copied(pod)
        bound["spec"]["nodeName"] = node
        conditions = [c for c in bound["status"].get("conditions", []) if c["type"] != "PodScheduled"]
        bound["status"]["conditions"] = [*conditions, {"type": "PodScheduled", "status": "True"}]
        self.storage.put("pods", bound)

    def _suffix(self) -> str:
        number, letters = next(self._suffixes), ""
        for _ in range(5):
            number, digit = divmod(number, len(SUFFIX))
            letters += SUFFIX[digit]
        return letters


def _may_go(kind: Kind, meta: Json) -> bool:
    """Whether nothing holds a deleted object any more; a pod on a node waits for its kubelet."""
    ended = kind.plural != "pods" or meta.get("deletionGracePeriodSeconds") == 0
    return "deletionTimestamp" in meta and not meta.get("finalizers") and ended
