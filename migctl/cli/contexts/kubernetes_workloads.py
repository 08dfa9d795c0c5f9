"""Kubernetes workloads as processes of one machine: which fields have a meaning there, and the workload they make.

What the fields mean is read where a cluster's objects are read (backends/kubernetes/user/reading.py). A field that is
not in the tables is refused by its path; one that is, and changes nothing here, is named in a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import KubernetesJob, ReplicatedWorkload, SubmittedPod
from migctl.backends.protocol import Invalid
from migctl.objects import Meta, Workload, WorkloadSpec, WorkloadStatus, WorkloadType

Fields = Mapping[str, Any]

HERE, NOWHERE = "it is read", "it changes nothing on one machine"
METADATA: Fields = {"name": HERE, "namespace": HERE, "labels": HERE, "annotations": HERE}
DOCUMENT: Fields = {"apiVersion": HERE, "kind": HERE, "metadata": METADATA, "status": HERE}
CONTAINER: Fields = {
    "name": HERE,
    "image": HERE,
    "command": HERE,
    "args": HERE,
    "workingDir": HERE,
    "env": [{"name": HERE, "value": HERE}],
    "resources": {"limits": HERE, "requests": HERE},
    "imagePullPolicy": NOWHERE,
    "ports": NOWHERE,
    "stdin": NOWHERE,
    "tty": NOWHERE,
}
POD: Fields = {
    "containers": [CONTAINER],
    "restartPolicy": HERE,
    "priorityClassName": HERE,
    "schedulerName": HERE,
    "terminationGracePeriodSeconds": NOWHERE,
    "serviceAccountName": NOWHERE,
    "automountServiceAccountToken": NOWHERE,
    "enableServiceLinks": NOWHERE,
    "imagePullSecrets": NOWHERE,
}
TEMPLATE: Fields = {"metadata": {"name": HERE, "labels": HERE, "annotations": HERE}, "spec": POD}
JOB: Fields = {
    "parallelism": HERE,
    "completions": HERE,
    "completionMode": HERE,
    "backoffLimit": HERE,
    "ttlSecondsAfterFinished": HERE,
    "suspend": HERE,
    "template": TEMPLATE,
}
STATEFUL_SET: Fields = {
    "replicas": HERE,
    "selector": HERE,
    "serviceName": HERE,
    "template": TEMPLATE,
    "podManagementPolicy": NOWHERE,
    "updateStrategy": NOWHERE,
    "revisionHistoryLimit": NOWHERE,
}
DEPLOYMENT: Fields = {
    "replicas": HERE,
    "selector": HERE,
    "template": TEMPLATE,
    "strategy": NOWHERE,
    "revisionHistoryLimit": NOWHERE,
    "minReadySeconds": NOWHERE,
    "progressDeadlineSeconds": NOWHERE,
}
KINDS: Mapping[tuple[str, str], Fields] = MappingProxyType(
    {
        ("v1", "Pod"): POD,
        ("batch/v1", "Job"): JOB,
        ("apps/v1", "StatefulSet"): STATEFUL_SET,
        ("apps/v1", "Deployment"): DEPLOYMENT,
    }
)
OUR_WORDS = re.compile(r"fraction|gpu|mig|gang|preempt|mov|pool")
YES_OR_NO = (names.PREEMPTIBLE, names.MOVABLE)
NUMBERS = (names.GANG_SIZE, names.DEVICES)
NOT_READ = (names.CONTAINER, names.CONTAINERS, names.WHOLE)
OURS = (
    names.FRACTION,
    names.MEMORY,
    names.PROFILE,
    names.DEVICES,
    names.MODEL,
    names.POOLS,
    names.PREEMPTIBLE,
    names.MOVABLE,
    names.GANG_SIZE,
    names.GANG_DOMAIN,
)
OUR_LABELS = (names.TYPE_LABEL, names.WORKLOAD_LABEL, names.PROJECT_LABEL)


def workload(body: Mapping[str, Any]) -> tuple[Workload, frozenset[str], tuple[str, ...]]:
    """The workload, the fields of its spec that the document says, and notes. Raises Invalid, BadQuantity."""
    kind, spec = body["kind"], body.get("spec")
    fields = {**DOCUMENT, "spec": KINDS[body["apiVersion"], kind]}
    idle = sorted(set(_checked(body, fields, "")))
    template = body if kind == "Pod" else _object(_object(spec, "spec").get("template"), "spec.template")
    where = "" if kind == "Pod" else "spec.template."
    _one_container(template, where)
    _check_annotations(body, template, where)
    made = _read(body, kind)
    annotations = _annotations(template)
    requests.gpu_request({**annotations, **_whole(template)})  # raises for what reading takes for one GPU
    container = template["spec"]["containers"][0]
    made = replace(
        made,
        meta=Meta(name=made.meta.name, project=made.meta.project, labels=made.meta.labels),
        spec=replace(made.spec, directory=container.get("workingDir", "")),
        status=WorkloadStatus(),
    )
    idle += list(_host_resources(container, f"{where}spec.containers[0]"))
    notes = (f"{', '.join(idle)}: {NOWHERE}",) if idle else ()
    return made, _said(body, kind, made.spec), notes


def _read(body: Mapping[str, Any], kind: str) -> Workload:
    readers: dict[str, tuple[type[Any], Callable[[Any], Workload | None]]] = {
        "Pod": (SubmittedPod, lambda raw: _pod(raw, str(body["spec"].get("restartPolicy", "Always")))),
        "Job": (KubernetesJob, lambda raw: reading.job(raw, ())),
        "StatefulSet": (ReplicatedWorkload, lambda raw: reading.replicated(raw, WorkloadType.WORKSPACE, ())),
        "Deployment": (ReplicatedWorkload, lambda raw: reading.replicated(raw, WorkloadType.INFERENCE, ())),
    }
    type_, read = readers[kind]
    try:
        made = read(msgspec.convert({key: value for key, value in body.items() if key != "status"}, type_))
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at ")
        field = path.strip("`").removeprefix("$.")
        raise Invalid(f"{field}: {rule}", field=field) from None
    if made is None:
        raise Invalid(
            "it asks for no GPU, and nothing runs without one here",
            hint=f"annotation {names.FRACTION}, {names.MEMORY} or {names.PROFILE}, or a limit of {names.RESOURCE}",
        )
    if not made.meta.name:
        raise Invalid("metadata.name: an object needs a name", field="metadata.name")
    return made


def _pod(raw: Any, restart: str) -> Workload | None:
    """A pod that is not started again runs once, as a training of its own."""
    made = reading.bare_pod(raw, ())
    if made is None or restart == "Always":
        return made
    limit = 0 if restart == "Never" else 6
    return replace(made, spec=replace(made.spec, type=WorkloadType.TRAINING, backoff_limit=limit))


def _said(body: Mapping[str, Any], kind: str, spec: WorkloadSpec) -> frozenset[str]:
    """What a document leaves out has Kubernetes' default, but for its user and what commands switch."""
    every = {field.encode_name for field in msgspec.structs.fields(WorkloadSpec)} - {"priority"}
    left_open = {"user"} if not spec.user else set[str]()
    written = body["spec"]
    switched = {"Job": {"suspend": "suspended", "parallelism": "parallelism"}, "Pod": {}}.get(
        kind, {"replicas": "parallelism"}
    )
    left_open |= {field for key, field in switched.items() if key not in written}
    if kind != "Job" and not spec.suspended:
        left_open.add("suspended")
    return frozenset(every - left_open)


def _checked(value: Any, fields: Any, path: str) -> Iterator[str]:
    """The paths that change nothing. Raises Invalid for a field that has no meaning here."""
    if fields is NOWHERE:
        yield path
    if isinstance(fields, list):
        for number, item in enumerate(value if isinstance(value, list) else [_list(value, path)]):
            yield from _checked(item, fields[0], f"{path}[{number}]")
    elif isinstance(fields, Mapping):
        for key, part in _object(value, path).items():
            here = f"{path}.{key}".lstrip(".")
            if key not in fields:
                close = get_close_matches(str(key), list(fields), n=1, cutoff=0.75)
                raise Invalid(
                    f"{here}: it has no meaning on one machine",
                    hint=f"did you mean {close[0]}?" if close else "leave it out here, or use a cluster",
                    field=here,
                )
            yield from _checked(part, fields[key], here)


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid(f"{path}: {'it is missing' if value is None else 'this is no object'}", field=path)
    return value


def _list(value: Any, path: str) -> Any:
    raise Invalid(f"{path}: this is no list", field=path)


def _one_container(template: Mapping[str, Any], where: str) -> None:
    path = f"{where}spec.containers"
    containers = _object(template.get("spec"), f"{where}spec").get("containers")
    if not isinstance(containers, list) or not containers:
        raise Invalid(f"{path}: a pod needs a container", field=path)
    if len(containers) > 1:
        raise Invalid(f"{path}: on one machine a pod is one process, and has one container", field=path)


def _annotations(template: Mapping[str, Any]) -> Mapping[str, str]:
    return _object(template.get("metadata") or {}, "metadata").get("annotations") or {}


def _whole(template: Mapping[str, Any]) -> dict[str, str]:
    limits = ((template["spec"]["containers"][0].get("resources") or {}).get("limits")) or {}
    return {names.WHOLE: str(limits[names.RESOURCE])} if names.RESOURCE in limits else {}


def _host_resources(container: Mapping[str, Any], path: str) -> Iterator[str]:
    """CPU and memory of the host, which nobody keeps a process to here."""
    for part in ("limits", "requests"):
        for name in (container.get("resources") or {}).get(part) or {}:
            if name != names.RESOURCE:
                yield f"{path}.resources.{part}.{name}"


def _check_annotations(body: Mapping[str, Any], template: Mapping[str, Any], where: str) -> None:
    """Refuse what is almost one of our names, or stands in a wrong place: it would be passed over without a word."""
    annotations = _annotations(template)
    for name, value in annotations.items():
        path = f"{where}metadata.annotations.{name}"
        if not isinstance(value, str):
            raise Invalid(f"{path}: an annotation is text: write it in quotes", field=path)
        if name in NOT_READ:
            raise Invalid(f"{path}: it has no meaning on one machine", field=path)
        if name not in OURS and OUR_WORDS.search(name.lower()):
            close = get_close_matches(name.rpartition("/")[2], [ours.rpartition("/")[2] for ours in OURS], n=1)
            meant = next((ours for ours in OURS if close and ours.endswith(close[0])), "")
            hint = f"did you mean {meant}?" if meant else ""
            raise Invalid(f"{path}: migctl does not know it", hint=hint, field=path)
        if name in YES_OR_NO and value not in ("true", "false"):
            raise Invalid(f'{path}: "{value}" must be "true" or "false"', field=path)
        if name in NUMBERS and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise Invalid(f'{path}: "{value}" must be a whole number, 1 or more', field=path)
    for place, keys in _elsewhere(body, template, where):
        for name in keys:
            if name not in OUR_LABELS and (name in OURS or OUR_WORDS.search(str(name).lower())):
                raise Invalid(
                    f"{place}.{name}: a request stands in {where}metadata.annotations", field=f"{place}.{name}"
                )
    parts = [name for name in (names.FRACTION, names.MEMORY, names.PROFILE) if name in annotations]
    limits = (
        _whole(template) if isinstance(template.get("spec"), Mapping) and template["spec"].get("containers") else {}
    )
    asks = [*parts, *([f"a limit of {names.RESOURCE}"] if limits else [])]
    if len(asks) > 1:
        raise Invalid(f"{' and '.join(asks)} exclude each other", hint="request GPUs in one way")


def _elsewhere(
    body: Mapping[str, Any], template: Mapping[str, Any], where: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where our names do not belong."""
    own, pod = _object(body.get("metadata"), "metadata"), template.get("metadata") or {}
    yield f"{where}metadata.labels", pod.get("labels") or {}
    if where:
        yield "metadata.labels", own.get("labels") or {}
        yield "metadata.annotations", own.get("annotations") or {}
