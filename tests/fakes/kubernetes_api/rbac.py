"""An authorizer that denies what is not granted, fed by the manifests that are deployed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.fakes.kubernetes_api.storage import Json

EDIT: list[Json] = [
    {"apiGroups": ["", "apps", "batch"], "resources": resources, "verbs": verbs}
    for resources, verbs in (
        (["pods", "jobs", "statefulsets", "deployments"], ["get", "list", "watch", "create", "patch", "delete"]),
        (["pods/log", "replicasets", "events"], ["get", "list", "watch"]),
        (["pods/exec"], ["create", "get"]),
    )
]
"""Of Kubernetes' own role `edit` what commands need."""

MANIFESTS = Path(__file__).parents[3] / "deploy" / "manifests" / "rbac"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody wants to do. A subresource is written "pods/status"."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


@dataclass
class Authorizer:
    """Roles and who has them. What was asked for and granted is remembered."""

    cluster_rules: dict[str, list[Json]] = field(default_factory=dict)
    local_rules: dict[tuple[str, str], list[Json]] = field(default_factory=dict)
    used: dict[str, set[Attempt]] = field(default_factory=dict)

    @classmethod
    def of_manifests(cls) -> Authorizer:
        authorizer = cls()
        documents = [d for path in sorted(MANIFESTS.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]
        roles = {(d["kind"], d["metadata"]["name"]): d["rules"] for d in documents if d["kind"].endswith("Role")}
        for document in documents:
            if not document["kind"].endswith("RoleBinding"):
                continue
            rules = roles[document["roleRef"]["kind"], document["roleRef"]["name"]]
            for subject in document["subjects"]:
                who = _name(subject)
                if document["kind"] == "ClusterRoleBinding":
                    authorizer.cluster_rules.setdefault(who, []).extend(rules)
                else:
                    key = (who, document["metadata"]["namespace"])
                    authorizer.local_rules.setdefault(key, []).extend(rules)
        return authorizer

    def let_edit(self, person: str, namespace: str) -> None:
        """Bind the role `edit` in a namespace, with what the deployed roles add to it."""
        documents = [d for path in sorted(MANIFESTS.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]
        added = [
            rule
            for document in documents
            for label in document["metadata"].get("labels", {})
            if label in ("rbac.authorization.k8s.io/aggregate-to-view", "rbac.authorization.k8s.io/aggregate-to-edit")
            for rule in document["rules"]
        ]
        self.local_rules[person, namespace] = EDIT + added

    def let_view(self, person: str, namespace: str) -> None:
        """Bind the role `view` in a namespace, with what the deployed roles add to it."""
        self.let_edit(person, namespace)
        looks = {"get", "list", "watch"}
        self.local_rules[person, namespace] = [
            {**rule, "verbs": [verb for verb in rule["verbs"] if verb in looks]}
            for rule in self.local_rules[person, namespace]
            if rule["resources"] != ["pods/exec"]
        ]

    def let_run_gpus(self, person: str) -> None:
        """Bind the ClusterRole migctl-admin."""
        documents = [d for path in sorted(MANIFESTS.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]
        (role,) = (d for d in documents if (d["kind"], d["metadata"]["name"]) == ("ClusterRole", "migctl-admin"))
        self.cluster_rules.setdefault(person, []).extend(role["rules"])

    def allows(self, user: str, attempt: Attempt) -> bool:
        """Whether the user may. An admin and Kubernetes' own controllers may everything."""
        if user == "admin" or user.startswith("system:serviceaccount:kube-system:"):
            return True
        rules = self.cluster_rules.get(user, []) + self.cluster_rules.get("system:authenticated", [])
        rules = rules + self.local_rules.get((user, attempt.namespace), [])
        granted = any(_grants(rule, attempt) for rule in rules)
        if granted:
            self.used.setdefault(user, set()).add(attempt)
        return granted

    def unused(self, user: str) -> list[str]:
        """Permissions of a user that nothing needed so far, as "verb group/resource"."""
        everything = set(self._permissions(self.cluster_rules.get(user, [])))
        for (who, _), rules in self.local_rules.items():
            everything |= set(self._permissions(rules)) if who == user else set()
        used = {(a.verb, a.group, a.resource) for a in self.used.get(user, ())}
        return sorted(f"{verb} {group}/{resource}" for verb, group, resource in everything - used)

    @staticmethod
    def _permissions(rules: Iterable[Json]) -> Iterable[tuple[str, str, str]]:
        for rule in rules:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    yield from ((verb, group, resource) for verb in rule["verbs"])


def _name(subject: Json) -> str:
    if subject["kind"] == "ServiceAccount":
        return f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    return str(subject["name"])


def _grants(rule: Json, attempt: Attempt) -> bool:
    names = rule.get("resourceNames")
    return (
        attempt.group in rule["apiGroups"]
        and attempt.resource in rule["resources"]
        and (attempt.verb in rule["verbs"] or "*" in rule["verbs"])
        and (names is None or attempt.name in names)
    )
