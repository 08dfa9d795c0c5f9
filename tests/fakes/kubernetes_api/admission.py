"""What the admission policies of deploy/manifests/admission do, said again in Python.

Real API servers evaluate the policies themselves (CEL); tests/cluster holds those to the same cases.
"""

from __future__ import annotations

import re

from tests.fakes.kubernetes_api import errors
from tests.fakes.kubernetes_api.storage import Json, Storage

GPU = "nvidia.com/gpu"
PARTS = ("gpu-fraction", "gpu-memory", "migctl.dev/mig-profile")
REQUEST_ANNOTATIONS = (*PARTS, "gpu-fraction-num-devices", "migctl.dev/gpu-devices")
NOTES = tuple(f"migctl.dev/{note}" for note in ("nomination", "evicted", "excluded", "placed", "nudged"))
CONTROLLER = "system:serviceaccount:migctl-system:migctl-controller"
AGENT = "system:serviceaccount:migctl-system:migctl-agent"
TEMPLATED = ("jobs", "statefulsets", "deployments", "replicasets")
MEMORY = re.compile(r"([0-9]+(?:[.][0-9]+)?|[.][0-9]+)(k|Ki|M|Mi|MB|MiB|G|Gi|GB|GiB|T|Ti)?")
POWERS = {"k": 1e3, "Ki": 2**10, "M": 1e6, "Mi": 2**20, "G": 1e9, "Gi": 2**30, "T": 1e12, "Ti": 2**40}


class Admission:
    """Changes and checks objects on their way in."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def mutate(self, plural: str, obj: Json) -> None:
        """Mutating policies, at creation."""
        if not self._is_project(obj["metadata"].get("namespace", "")):
            return
        if plural == "pods":
            _gate(obj)
        elif plural == "jobs" and _asks(obj["spec"]["template"]) and _never_restarts(obj["spec"]["template"]):
            rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
            obj["spec"].setdefault("podFailurePolicy", {"rules": [rule]})

    def validate(self, user: str, node: str, plural: str, obj: Json, before: Json | None) -> None:
        """Validating policies, at creation and change. Raises Refused."""
        name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
        if user == AGENT and plural in ("gpunodes", "resourceslices"):
            own = name if plural == "gpunodes" else obj["spec"].get("nodeName", "")
            if node != own:
                why = f'an agent on node "{node}" may not write what is node "{own}"\'s'
                raise errors.denied(plural, name, "migctl-agents", why, forbidden=True)
        if plural == "placementplans" and before is not None and before.get("spec") != obj.get("spec"):
            why = "a placement plan is a record of what was decided; it cannot be changed"
            raise errors.denied(plural, name, "migctl-plans", why)
        if plural not in ("pods", *TEMPLATED) or "deletionTimestamp" in obj["metadata"]:
            return
        pod = obj if plural == "pods" else obj["spec"]["template"]
        if not self._is_project(namespace):
            if found := [part for part in PARTS if part in _annotations(pod)]:
                why = f'{" and ".join(found)}: namespace "{namespace}" is no migctl project'
                raise errors.denied(plural, name, "migctl-projects-only", why)
            return
        if why := _bad_request(pod) or self._unknown_profile(pod):
            raise errors.denied(plural, name, "migctl-gpu-requests", why)
        if plural == "pods":
            _check_notes(user, pod, before)

    def _is_project(self, namespace: str) -> bool:
        found = self._storage.get("namespaces", "", namespace)
        return bool(found and "migctl.dev/project" in found["metadata"].get("labels", {}))

    def _unknown_profile(self, pod: Json) -> str:
        catalog = self._storage.get("configmaps", "migctl-system", "migctl-catalog")
        known = (catalog or {}).get("data", {}).get("migProfiles", "").split()
        wanted = _annotations(pod).get("migctl.dev/mig-profile")
        if wanted is None or not known or wanted in known:
            return ""
        return f'no GPU of this cluster has a MIG profile "{wanted}"; there are {", ".join(known)}'


def _annotations(obj: Json) -> dict[str, str]:
    return obj.get("metadata", {}).get("annotations") or {}


def _containers(pod: Json) -> list[Json]:
    return [*pod["spec"].get("containers", []), *pod["spec"].get("initContainers", [])]


def _limit(container: Json) -> int:
    return int(container.get("resources", {}).get("limits", {}).get(GPU, 0))


def _asks(pod: Json) -> bool:
    return any(part in _annotations(pod) for part in PARTS) or any(_limit(c) for c in _containers(pod))


def _never_restarts(pod: Json) -> bool:
    return bool(pod["spec"].get("restartPolicy") == "Never")


def _gate(pod: Json) -> None:
    spec = pod["spec"]
    done = any(c["name"] == "migctl-gpu" for c in spec.get("resourceClaims", []))
    if not _asks(pod) or done or spec.get("nodeName"):
        return
    in_parts = any(part in _annotations(pod) for part in PARTS)
    named = _annotations(pod).get("gpu-fraction-container-name", spec["containers"][0]["name"])
    whole = max(
        sum(_limit(c) for c in spec["containers"]), max((_limit(c) for c in spec.get("initContainers", [])), default=0)
    )
    if whole:
        pod["metadata"].setdefault("annotations", {})["migctl.dev/gpu-devices"] = str(whole)
    spec["schedulerName"] = "default-scheduler"
    spec.setdefault("schedulingGates", []).append({"name": "migctl.dev/placement"})
    spec.setdefault("resourceClaims", []).append({"name": "migctl-gpu", "resourceClaimTemplateName": "migctl-gpu"})
    for container in _containers(pod):
        resources = container.setdefault("resources", {})
        if container["name"] == named if in_parts else _limit(container):
            resources.setdefault("claims", []).append({"name": "migctl-gpu"})
        for part in ("limits", "requests"):
            resources.get(part, {}).pop(GPU, None)


def _bad_request(pod: Json) -> str:
    annotations = _annotations(pod)
    parts = [part for part in PARTS if part in annotations]
    whole = annotations.get("migctl.dev/gpu-devices", "0") != "0" or any(_limit(c) for c in _containers(pod))
    if len(parts) > 1:
        return f"{' and '.join(parts)} exclude each other: ask for a part of a GPU in one way"
    if parts and whole:
        return f"{parts[0]} and a limit of nvidia.com/gpu exclude each other"
    if "gpu-fraction" in annotations and not _is_fraction(annotations["gpu-fraction"]):
        return f'gpu-fraction "{annotations["gpu-fraction"]}" is not a part of a GPU: give a number above 0 and below 1'
    if "gpu-memory" in annotations and (why := _bad_memory(annotations["gpu-memory"])):
        return why
    named = annotations.get("gpu-fraction-container-name")
    names = [c["name"] for c in _containers(pod)]
    if named is not None and named not in names:
        return f'gpu-fraction-container-name "{named}" is no container of this pod; it has {", ".join(names)}'
    return ""


def _is_fraction(text: str) -> bool:
    return re.fullmatch(r"[0-9]+[.]?[0-9]*|[.][0-9]+", text) is not None and 0 < float(text) < 1


def _bad_memory(text: str) -> str:
    match = MEMORY.fullmatch(text)
    if match is None:
        return f'gpu-memory "{text}" is not an amount of memory'
    unit = (match[2] or "").removesuffix("B")
    size = float(match[1]) * (POWERS[unit] if unit else 2**20 if text.isdigit() else 1)
    return "" if size >= 1e8 else f'gpu-memory "{text}" is too little: at least 100 MB of GPU memory are needed'


def _check_notes(user: str, pod: Json, before: Json | None) -> None:
    name = pod["metadata"]["name"]
    old, new = _annotations(before or {}), _annotations(pod)
    if user != CONTROLLER and (forged := [note for note in NOTES if old.get(note) != new.get(note)]):
        why = f"{', '.join(forged)}: only migctl's controller writes this"
        raise errors.denied("pods", name, "migctl-own-notes", why, forbidden=True)
    if before is not None and (changed := [name for name in REQUEST_ANNOTATIONS if old.get(name) != new.get(name)]):
        why = f"{', '.join(changed)} cannot be changed after the submission: delete the pod and submit it anew"
        raise errors.denied("pods", name, "migctl-own-notes", why)
