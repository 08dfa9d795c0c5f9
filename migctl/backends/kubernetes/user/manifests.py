"""The Kubernetes objects that `migctl submit` makes: what a user would write for kubectl.

training, distributed  a Job          workspace  a StatefulSet of one          inference  a Deployment

The request stands in annotations of the pod, or in a limit of nvidia.com/gpu; admission adds the gate and the claim.
"""

from __future__ import annotations

from typing import Any

from migctl.backends.kubernetes.client.resources import Resource
from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.user.kinds import DEPLOYMENTS, JOBS, STATEFUL_SETS
from migctl.backends.protocol import Invalid
from migctl.objects import Workload, WorkloadSpec, WorkloadType

RESOURCES: dict[WorkloadType, Resource[Any]] = {
    WorkloadType.TRAINING: JOBS,
    WorkloadType.DISTRIBUTED: JOBS,
    WorkloadType.WORKSPACE: STATEFUL_SETS,
    WorkloadType.INFERENCE: DEPLOYMENTS,
}
APP_LABEL = "app"
CONTAINER = "main"
Json = dict[str, Any]


def manifest(workload: Workload) -> Json:
    """The object to create. Raises Invalid for what a cluster cannot run."""
    spec = workload.spec
    if not spec.image:
        raise Invalid("spec.image: on a cluster a workload needs a container image", "add -i IMAGE", "spec.image")
    resource = RESOURCES[spec.type]
    body = _job(workload) if resource is JOBS else _replicated(workload)
    labels = {**workload.meta.labels, **_user(spec)}
    annotations = {names.REPLICAS: str(spec.parallelism)}
    return {
        "apiVersion": resource.api,
        "kind": resource.title,
        "metadata": {
            "name": workload.meta.name,
            "namespace": workload.meta.project,
            "labels": labels,
            **({"finalizers": list(workload.meta.finalizers)} if workload.meta.finalizers else {}),
            **({"annotations": annotations} if resource is not JOBS and spec.suspended else {}),
        },
        "spec": body,
    }


def _job(workload: Workload) -> Json:
    spec = workload.spec
    completions = spec.completions or spec.parallelism
    return {
        "parallelism": spec.parallelism,
        "completions": completions,
        "completionMode": "Indexed" if completions > 1 else "NonIndexed",
        "backoffLimit": spec.backoff_limit,
        "suspend": spec.suspended,
        **({} if spec.ttl_after_finish_s is None else {"ttlSecondsAfterFinished": round(spec.ttl_after_finish_s)}),
        "template": _template(workload, "Never"),
    }


def _replicated(workload: Workload) -> Json:
    name, spec = workload.meta.name, workload.spec
    return {
        "replicas": 0 if spec.suspended else spec.parallelism,
        "selector": {"matchLabels": {APP_LABEL: name}},
        **({"serviceName": name} if spec.type is WorkloadType.WORKSPACE else {}),
        "template": _template(workload, "Always"),
    }


def _template(workload: Workload, restart: str) -> Json:
    spec = workload.spec
    labels = {**workload.meta.labels, APP_LABEL: workload.meta.name, **_user(spec)}
    if requests.BY_OWNER[RESOURCES[spec.type].title] is not spec.type:
        labels[names.TYPE_LABEL] = spec.type.value
    return {
        "metadata": {"labels": labels, "annotations": _annotations(spec)},
        "spec": {"restartPolicy": restart, "containers": [_container(spec)]},
    }


def _container(spec: WorkloadSpec) -> Json:
    """One container; the command is the image's arguments unless it replaces the entry point."""
    container: Json = {"name": CONTAINER, "image": spec.image}
    if spec.directory:
        container["workingDir"] = spec.directory
    if spec.command:
        container["command" if spec.entrypoint else "args"] = [literal(part) for part in spec.command]
    if spec.environment:
        container["env"] = [{"name": name, "value": literal(value)} for name, value in spec.environment.items()]
    if not spec.gpu_request.is_part:
        container["resources"] = {"limits": {names.RESOURCE: spec.gpu_request.devices}}
    return container


def literal(text: str) -> str:
    """The text as Kubernetes leaves it: in `$(NAME)` it would put a variable's value, of `$$` it would make `$`."""
    return text.replace("$", "$$") if "$$" in text or "$(" in text else text


def as_typed(text: str) -> str:
    """What literal() was made of."""
    return text.replace("$$", "$")


def _annotations(spec: WorkloadSpec) -> dict[str, str]:
    gpu_request, found = spec.gpu_request, {}
    if gpu_request.fraction is not None:
        found[names.FRACTION] = f"{gpu_request.fraction:.15f}".rstrip("0")
    if gpu_request.memory_mib is not None:
        found[names.MEMORY] = str(gpu_request.memory_mib)
    if gpu_request.profile is not None:
        found[names.PROFILE] = gpu_request.profile
    if found and gpu_request.devices > 1:
        found[names.DEVICES] = str(gpu_request.devices)
    if gpu_request.model is not None:
        found[names.MODEL] = gpu_request.model
    if spec.pools:
        found[names.POOLS] = ",".join(spec.pools)
    if spec.preemptible != requests.rank({}, "", spec.type)[1]:
        found[names.PREEMPTIBLE] = str(spec.preemptible).lower()
    if not spec.movable:
        found[names.MOVABLE] = "false"
    if spec.gang is not None:
        found[names.GANG_SIZE] = str(spec.gang.size)
        if spec.gang.domain is not None:
            found[names.GANG_DOMAIN] = spec.gang.domain
    return found


def _user(spec: WorkloadSpec) -> dict[str, str]:
    """The label that says whose it is."""
    user = names.user_label(spec.user)
    return {names.USER_LABEL: user} if user else {}
