"""What the API server itself accepts: the rules for pods and claims that were found on a real 1.36."""

from __future__ import annotations

import re

from migctl.backends.kubernetes.meaning.quantities import number
from tests.fakes.kubernetes_api import errors
from tests.fakes.kubernetes_api.storage import Json

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def check_new(plural: str, obj: Json) -> None:
    """Raises Refused where an object that is to be created breaks a rule."""
    if plural != "pods":
        return
    for container in [*obj["spec"].get("containers", []), *obj["spec"].get("initContainers", [])]:
        for resource, amount in container.get("resources", {}).get("limits", {}).items():
            if "/" in resource and number(str(amount)) % 1:
                field = f"spec.containers.resources.limits[{resource}]"
                raise errors.invalid("Pod", obj["metadata"]["name"], field, "Invalid value: must be an integer")


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
