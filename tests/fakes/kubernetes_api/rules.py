"""What the API server itself accepts: the rules for pods and claims that were found on a real 1.36."""

from __future__ import annotations

import re

from migctl.backends.kubernetes.meaning.quantities import number
from tests.fakes.kubernetes_api import errors
from tests.fakes.kubernetes_api.storage import Json

QUALIFIED = re.compile(r"([a-z0-9.-]+/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_new(plural: str, obj: Json) -> None:
    """Raises Refused where an object that is to be created, as the mutating policies leave it, breaks a rule."""
    name = obj["metadata"]["name"]
    if plural == "pods":
        _new_pod(name, "", obj)
    elif "template" in obj.get("spec", {}) and plural != "resourceclaimtemplates":
        _new_pod(name, "spec.template.", obj["spec"]["template"])


def _new_pod(name: str, where: str, pod: Json) -> None:
    """A pod, or what pods are made from."""
    for key in pod.get("metadata", {}).get("annotations") or {}:
        if not QUALIFIED.fullmatch(key):
            why = f"Invalid value: {key!r}: name part must consist of alphanumeric characters, '-', '_' or '.'"
            raise errors.invalid("Pod", name, f"{where}metadata.annotations", why)
    spec = pod["spec"]
    claims = [claim["name"] for claim in spec.get("resourceClaims", [])]
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        resources = container.get("resources", {})
        for resource, amount in resources.get("limits", {}).items():
            if "/" in resource and number(str(amount)) % 1:
                why = "Invalid value: must be an integer"
                raise errors.invalid("Pod", name, f"{where}spec.containers.resources.limits[{resource}]", why)
        for used in resources.get("claims", []):
            if used["name"] not in claims:
                why = f"Not found: {used['name']!r}: must be one of the names in pod.spec.resourceClaims"
                raise errors.invalid("Pod", name, f"{where}spec.containers.resources.claims", why)


def check_change(plural: str, before: Json, after: Json, subresource: str) -> None:
    """Raises Refused where an update breaks a rule."""
    new = set(after["metadata"].get("finalizers", [])) - set(before["metadata"].get("finalizers", []))
    if "deletionTimestamp" in before["metadata"] and new:
        why = "Forbidden: no new finalizers can be added if the object is being deleted"
        raise errors.invalid(plural, after["metadata"]["name"], "metadata.finalizers", why)
    if plural == "pods" and not subresource:
        _pod(before, after)
    if plural == "resourceclaims":
        _claim(before, after)


def _pod(before: Json, after: Json) -> None:
    name = after["metadata"]["name"]
    old_gates = {gate["name"] for gate in before["spec"].get("schedulingGates", [])}
    new_gates = {gate["name"] for gate in after["spec"].get("schedulingGates", [])}
    if new_gates - old_gates:
        why = f"Forbidden: only deletion is allowed, but found new scheduling gate '{min(new_gates - old_gates)}'"
        raise errors.invalid("Pod", name, "spec.schedulingGates", why)
    frozen = ("containers", "resourceClaims", "nodeName", "schedulerName")
    for field in frozen:
        if before["spec"].get(field) != after["spec"].get(field):
            raise errors.invalid("Pod", name, "spec", f"Forbidden: pod updates may not change {field}")


def _claim(before: Json, after: Json) -> None:
    name = after["metadata"]["name"]
    old, new = before.get("status", {}).get("allocation"), after.get("status", {}).get("allocation")
    if before["spec"] != after["spec"]:
        raise errors.invalid("ResourceClaim", name, "spec", "Invalid value: field is immutable")
    if old is not None and new is not None and old != new:
        raise errors.invalid("ResourceClaim", name, "status.allocation", "Invalid value: field is immutable")
    if new is None and after.get("status", {}).get("reservedFor"):
        raise errors.invalid(
            "ResourceClaim", name, "status.reservedFor", "Forbidden: may not be set without allocation"
        )
    if new is not None and old is None:
        if "deletionTimestamp" in after["metadata"]:
            why = "Forbidden: may not be set while the claim is being deleted"
            raise errors.invalid("ResourceClaim", name, "status.allocation", why)
        for result in new.get("devices", {}).get("results", []):
            if not LABEL.fullmatch(result["device"]):
                raise errors.invalid("ResourceClaim", name, "status.allocation.devices.results", "not a DNS label")


def binding_verbs(before: Json, after: Json) -> list[str]:
    """The subresources that a change of a claim's status needs a permission of its own for."""
    old, new = before.get("status", {}), after.get("status", {})
    needed = []
    if any(old.get(field) != new.get(field) for field in ("allocation", "reservedFor")):
        needed.append("resourceclaims/binding")
    if old.get("devices") != new.get("devices"):
        needed.append("resourceclaims/driver")
    return needed
