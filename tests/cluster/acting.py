"""A real API server behind the verbs of the fake one, asked as one user or another.

What tests/deploy/admission ask of the policies' text, they ask here of the API server that evaluates it.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Self
from urllib.parse import quote, urlencode

import pytest
from kubernetes.client import ApiClient
from kubernetes.config import new_client_from_config

from tests.cluster.settings import Place
from tests.fakes import manifests
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL, Kind
from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_api.users import ADMIN, User
from tests.limits import WAIT_S

RIGHTS = "migctl-test-acting"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
OWNERS = {"Job": "jobs", "Pod": "pods", "ReplicaSet": "replicasets"}
IMPOSSIBLE = {"migctl.dev/mig-profile": "9g.999gb"}


class ActingApi:
    """The verbs of tests/fakes' Operations. "team-a" is a namespace of its own; users may everything by RBAC."""

    def __init__(self, place: Place) -> None:
        self._client: ApiClient = new_client_from_config(str(place.kubeconfig))
        self._project = f"mt{secrets.token_hex(3)}"

    def __enter__(self) -> Self:
        labels = {"migctl.dev/project": self._project}
        self.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": self._project, "labels": labels}})
        self._until(lambda: self._answers("GET", f"/api/v1/namespaces/{self._project}/serviceaccounts/default"))
        self._forget_catalog()
        return self

    def permit(self, *users: User) -> None:
        """Let users do everything that RBAC guards, so that only admission says no. Binding it again is no error."""
        binding = {
            "metadata": {"name": RIGHTS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": u.name} for u in users],
        }
        full = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", **binding}
        query = {"fieldManager": "migctl-test", "force": "true"}
        self._ask(ADMIN, "PATCH", f"{BINDINGS}/{RIGHTS}", full, "application/apply-patch+yaml", query)

    def forbid(self) -> None:
        self._ask(ADMIN, "DELETE", f"{BINDINGS}/{RIGHTS}")

    def __exit__(self, *_: object) -> None:
        self._forget_catalog()
        self.delete(BY_PLURAL["namespaces"], "", self._project)

    @property
    def storage(self) -> Any:
        """Only a fake lets a test put there what admission would refuse."""
        pytest.skip("nothing is stored on a real cluster without its admission")

    def create(self, user: User, kind: Kind, namespace: str, body: Json, *, dry_run: bool = False) -> Json:
        obj = {"apiVersion": kind.api, "kind": kind.kind, **copied(body)}
        for owner in obj["metadata"].get("ownerReferences", []):
            if owner["kind"] in OWNERS:  # an owner that is not there is a reason to collect the object
                owner["uid"] = self._owner(owner["kind"], owner["name"])["metadata"]["uid"]
        made = self._ask(user, "POST", self._path(kind, namespace), obj, query={"dryRun": "All"} if dry_run else {})
        if kind.plural == "configmaps":
            self._until(self._knows_profiles)
        return made

    def patch(self, user: User, kind: Kind, namespace: str, name: str, patch: Any, content_type: str) -> Json:
        return self._ask(user, "PATCH", self._path(kind, namespace, name), patch, content_type)

    def change(self, user: User, kind: Kind, before: Json, after: Json) -> Json:
        return self._ask(user, "PUT", self._path(kind, "team-a", before["metadata"]["name"]), after)

    def delete(self, kind: Kind, namespace: str, name: str, *, user: User = ADMIN) -> Json:
        return self._ask(user, "DELETE", self._path(kind, namespace, name))

    def until_refused(self, user: User, plural: str, body: Json) -> None:
        """Wait for the API server to evaluate a policy: it reads policies a moment after they are applied."""

        def refused() -> bool:
            try:
                self.create(user, BY_PLURAL[plural], "team-a", body, dry_run=True)
            except Refused:
                return True
            return False

        self._until(refused)

    def _owner(self, kind: str, name: str) -> Json:
        """An object that owns another, there but idle."""
        plural = OWNERS[kind]
        idle = {
            "Job": manifests.job(name, suspend=True),
            "Pod": manifests.pod(name),
            "ReplicaSet": manifests.deployment(name) | {"kind": kind},
        }[kind]
        if kind == "ReplicaSet":
            idle["spec"]["replicas"] = 0
        try:
            return self._ask(ADMIN, "GET", self._path(BY_PLURAL[plural], "team-a", name))
        except Refused:
            return self.create(ADMIN, BY_PLURAL[plural], "team-a", idle)

    def _forget_catalog(self) -> None:
        """Without a controller there is no catalog, and anything may wait."""
        try:
            self.delete(BY_PLURAL["configmaps"], "migctl-system", "migctl-catalog")
        except Refused:
            return
        self._until(lambda: not self._knows_profiles())

    def _knows_profiles(self) -> bool:
        """Whether the API server's policies have read the catalog: they watch it."""
        try:
            self.create(ADMIN, BY_PLURAL["pods"], "team-a", manifests.pod("probe", IMPOSSIBLE), dry_run=True)
        except Refused as error:
            return "migctl-catalog" in str(error)
        return False

    def _answers(self, method: str, path: str) -> bool:
        try:
            self._ask(ADMIN, method, path)
        except Refused:
            return False
        return True

    @staticmethod
    def _until(holds: Any) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline, "the API server does not come to it"
            time.sleep(0.05)

    def _path(self, kind: Kind, namespace: str, name: str = "") -> str:
        real = self._project if namespace == "team-a" else namespace
        inside = f"/namespaces/{real}" if kind.namespaced else ""
        return f"{kind.root}{inside}/{kind.plural}" + (f"/{quote(name)}" if name else "")

    def _ask(
        self,
        user: User,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Json:
        url = self._client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        settings = self._client.configuration.auth_settings().values()
        own = {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header"}
        headers = {"Content-Type": content_type, "Accept": "application/json", **own, **_acting_as(user)}
        answer = self._client.rest_client.request(method, url, headers=headers, body=body)
        found: Json = json.loads(answer.read())
        if answer.status >= 300:
            raise Refused(found["code"], found.get("reason", ""), found["message"])
        return found


def _acting_as(user: User) -> dict[str, str]:
    """Impersonation of the user. An admin of the kubeconfig may."""
    found = {"Impersonate-User": user.name}
    found |= {f"Impersonate-Extra-{quote(key, safe='')}": values[0] for key, values in user.extra.items()}
    for group in user.groups:
        if group != "system:authenticated":  # who is impersonated is that anyway
            assert "Impersonate-Group" not in found, "one group can be named in one header"
            found["Impersonate-Group"] = group
    return found
