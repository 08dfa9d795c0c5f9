"""One admission policy: which requests it is about, and what its expressions say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.kubernetes_api.admission.expressions import BadExpression, evaluate
from tests.fakes.kubernetes_api.storage import Json

MANIFESTS = Path(__file__).parents[4] / "deploy" / "manifests" / "admission"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """What is about to be stored. `request` is what expressions know by that name."""

    request: Json
    object: Json | None
    before: Json | None

    @property
    def known(self) -> dict[str, Any]:
        """What expressions may read."""
        return {"object": self.object, "oldObject": self.before, "request": self.request}


@dataclass(frozen=True)
class AdmissionPolicy:
    """A MutatingAdmissionPolicy or ValidatingAdmissionPolicy, and the object its binding names as `params`."""

    name: str
    mutates: bool
    spec: Json
    params: tuple[str, str] | None = None

    def concerns(self, about: AdmissionRequest, labels: Json) -> bool:
        """Whether the request matches its constraints. `labels`: of the request's namespace."""
        constraints = self.spec["matchConstraints"]
        wanted = constraints.get("namespaceSelector", {}).get("matchExpressions", [])
        return (
            all((term["key"] in labels) == (term["operator"] == "Exists") for term in wanted)
            and any(_covers(rule, about.request) for rule in constraints["resourceRules"])
            and all(evaluate(c["expression"], about.known) for c in self.spec.get("matchConditions", []))
        )

    def known(self, about: AdmissionRequest, params: Json | None) -> dict[str, Any]:
        """What its expressions may read: the request, and its variables. One that has no value is not there."""
        variables: Json = {}
        known = {**about.known, "params": params, "variables": variables}
        for variable in self.spec.get("variables", []):
            try:
                variables[variable["name"]] = evaluate(variable["expression"], known)
            except BadExpression:
                continue
        return known

    def refusals(self, known: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Message and reason of every validation that does not hold. Raises BadExpression."""
        for validation in self.spec["validations"]:
            if not evaluate(validation["expression"], known):
                said = validation.get("message") or evaluate(validation["messageExpression"], known)
                yield said, validation.get("reason", "Invalid")


def _covers(rule: Json, request: Json) -> bool:
    resource, sub = request["resource"], request["subResource"]
    plural = f"{resource['resource']}/{sub}" if sub else resource["resource"]
    return (
        resource["group"] in rule["apiGroups"]
        and request["operation"] in rule["operations"]
        and plural in rule["resources"]
    )


@cache
def deployed() -> tuple[AdmissionPolicy, ...]:
    """The policies that are installed with migctl."""
    documents = [d for path in sorted(MANIFESTS.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]
    bindings = {d["spec"]["policyName"]: d["spec"] for d in documents if d["kind"].endswith("Binding")}
    return tuple(
        AdmissionPolicy(
            name=document["metadata"]["name"],
            mutates=document["kind"] == "MutatingAdmissionPolicy",
            spec=document["spec"],
            params=_params(bindings[document["metadata"]["name"]]),
        )
        for document in documents
        if document["kind"].endswith("AdmissionPolicy")
    )


def _params(binding: Json) -> tuple[str, str] | None:
    reference = binding.get("paramRef")
    return (reference["namespace"], reference["name"]) if reference else None
