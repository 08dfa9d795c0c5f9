"""All policies on one request, mutating ones first."""

from __future__ import annotations

from typing import Any

from tests.fakes.kubernetes_api import errors, patches, rules
from tests.fakes.kubernetes_api.admission.expressions import BadExpression, evaluate
from tests.fakes.kubernetes_api.admission.policies import AdmissionPolicy, AdmissionRequest, deployed
from tests.fakes.kubernetes_api.kinds import Kind
from tests.fakes.kubernetes_api.storage import Json, Storage
from tests.fakes.kubernetes_api.users import User


class Admission:
    """Changes and checks objects on their way in."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def admit(
        self, user: User, operation: str, kind: Kind, obj: Json | None, before: Json | None, subresource: str = ""
    ) -> Json | None:
        """The object as the policies leave it. Raises Refused.

        operation  CREATE, UPDATE, or DELETE, which has no object
        """
        meta = (before if obj is None else obj or {})["metadata"]  # type: ignore[index]
        about = AdmissionRequest(_request(user, operation, kind, meta, subresource), obj, before)
        namespace = self._storage.get("namespaces", "", meta.get("namespace", "")) or {"metadata": {}}
        labels = namespace["metadata"].get("labels", {})
        checked = obj is None or operation != "CREATE"
        for policy in deployed():
            if not (checked or policy.mutates):
                rules.check_new(kind.plural, about.object or {})
                checked = True
            try:
                if policy.concerns(about, labels):
                    about = self._apply(policy, about) if policy.mutates else self._check(policy, about, kind, meta)
            except BadExpression as error:
                raise errors.denied(kind.plural, meta["name"], policy.name, str(error)) from None
        return about.object

    def _check(self, policy: AdmissionPolicy, about: AdmissionRequest, kind: Kind, meta: Json) -> AdmissionRequest:
        params = self._storage.get("configmaps", *policy.params) if policy.params else None
        if policy.params and params is None:
            return about
        for said, reason in policy.refusals(policy.known(about, params)):
            raise errors.denied(kind.plural, meta["name"], policy.name, said, forbidden=reason == "Forbidden")
        return about

    @staticmethod
    def _apply(policy: AdmissionPolicy, about: AdmissionRequest) -> AdmissionRequest:
        for mutation in policy.spec["mutations"]:
            known = policy.known(about, None)
            if mutation["patchType"] == "JSONPatch":
                changes = evaluate(mutation["jsonPatch"]["expression"], known)
                obj = patches.apply(about.object or {}, changes, "application/json-patch+json")
            else:
                obj = _applied(about.object, evaluate(mutation["applyConfiguration"]["expression"], known))
            about = AdmissionRequest(about.request, obj, about.before)
        return about


def _request(user: User, operation: str, kind: Kind, meta: Json, subresource: str) -> Json:
    version = kind.api.rpartition("/")[2]
    return {
        "operation": operation,
        "kind": {"group": kind.group, "version": version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": version, "resource": kind.plural},
        "subResource": subresource,
        "name": meta["name"],
        "namespace": meta.get("namespace", ""),
        "userInfo": {"username": user.name, "groups": list(user.groups), "extra": user.extra},
    }


def _applied(target: Any, configuration: Any) -> Any:
    """A server-side apply: maps are merged, and lists whose items have names."""
    if isinstance(configuration, dict):
        merged = dict(target or {})
        for key, value in configuration.items():
            merged[key] = _applied(merged.get(key), value)
        return merged
    if isinstance(configuration, list) and all(isinstance(item, dict) and "name" in item for item in configuration):
        named = {item["name"]: item for item in target or []}
        for item in configuration:
            named[item["name"]] = _applied(named.get(item["name"]), item)
        return list(named.values())
    return configuration
