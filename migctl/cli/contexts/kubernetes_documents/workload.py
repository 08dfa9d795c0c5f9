"""The workload that a Kubernetes document is on one machine.

What its fields mean is read where a cluster's objects are read (backends/kubernetes/user/reading.py), of a document in
which GPUs are asked for in one way only (asked.py) and variables have their values (process.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from migctl import admission
from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import KubernetesJob, ReplicatedWorkload, SubmittedPod
from migctl.backends.protocol import Invalid
from migctl.cli.contexts.kubernetes_documents import fields
from migctl.cli.contexts.kubernetes_documents.asked import GpusAsked, check_names
from migctl.cli.contexts.kubernetes_documents.fields import an_object
from migctl.cli.contexts.kubernetes_documents.process import Note, process
from migctl.objects import Meta, Workload, WorkloadSpec, WorkloadStatus, WorkloadType

QUEUES = ("kai.scheduler/queue", "runai/queue")
"""Labels that say whose quota counts, whatever the namespace; `project` says it where there is no namespace."""


@dataclass(frozen=True)
class ReadWorkload:
    """The workload of a document. said: fields of its spec that the document has."""

    workload: Workload
    said: frozenset[str]
    notes: tuple[str, ...]


def read(body: Mapping[str, Any], templates: Mapping[str, Any]) -> ReadWorkload:
    """The workload. Raises Invalid and BadQuantity.

    templates  the ResourceClaimTemplates that are read together with it, by name
    """
    kind, notes = body["kind"], list(fields.idle(body))
    an_object(body.get("metadata"), "metadata")
    template = (
        body if kind == "Pod" else an_object(an_object(body.get("spec"), "spec").get("template"), "spec.template")
    )
    where = "" if kind == "Pod" else "spec.template."
    container = _one_container(template, where)
    notes += check_names(body, template, where)
    annotations, limits, of_gpus = GpusAsked(template, where, templates).read()
    requests.gpu_request({**annotations, **({names.WHOLE: str(limits[names.RESOURCE])} if limits else {})})
    ran, of_process = process(container, template.get("metadata") or {}, f"{where}spec.containers[0]")
    project, of_project = _project(body, template)
    simple = _simple(body, {**ran, "resources": {"limits": limits}}, annotations)
    made = _workload(simple, kind)
    made = replace(
        made,
        meta=Meta(name=made.meta.name, project=project, labels=made.meta.labels),
        spec=replace(made.spec, directory=container.get("workingDir") or ""),
        status=WorkloadStatus(),
    )
    notes += [*of_gpus, *of_process, *of_project, *_priority(template["spec"], made.spec, where)]
    return ReadWorkload(made, _said(body, kind, made.spec), tuple(_by_reason(notes)))


def _by_reason(notes: Iterable[Note]) -> Iterator[str]:
    """A line for each reason, with all paths that it holds for."""
    paths: dict[str, list[str]] = {}
    for path, why in notes:
        paths.setdefault(why, []).append(path)
    return (f"{', '.join(dict.fromkeys(sorted(found)))}: {why}" for why, found in paths.items())


def _one_container(template: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    path = f"{where}spec.containers"
    containers = an_object(template.get("spec"), f"{where}spec").get("containers")
    if not isinstance(containers, list) or not containers:
        raise Invalid(f"{path}: a pod needs a container", field=path)
    if len(containers) > 1:
        raise Invalid(f"{path}: on one machine a pod is one process, and has one container", field=path)
    found: Mapping[str, Any] = containers[0]
    return found


def _project(body: Mapping[str, Any], template: Mapping[str, Any]) -> tuple[str, list[Note]]:
    """Where it runs, "" where it does not say, and what is passed over for that."""
    own, pod = ((owner.get("metadata") or {}).get("labels") or {} for owner in (body, template))
    labels, namespace = {**own, **pod}, str(body["metadata"].get("namespace") or "")
    queue = next((str(labels[name]) for name in QUEUES if labels.get(name)), "")
    if queue and namespace not in ("", queue, f"runai-{queue}"):
        return queue, [("metadata.namespace", f"the label of its queue names the project, {queue}")]
    return queue or namespace or str(labels.get("project") or ""), []


def _simple(body: Mapping[str, Any], container: Mapping[str, Any], annotations: Mapping[str, str]) -> dict[str, Any]:
    """The document with nothing in it but what is read."""

    def pod(template: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: template["spec"][key] for key in ("restartPolicy", "priorityClassName") if key in template["spec"]}
        metadata = {**(template.get("metadata") or {}), "annotations": dict(annotations)}
        return {"metadata": _written(metadata), "spec": {**kept, "containers": [container]}}

    if body["kind"] == "Pod":
        return pod(body)
    return {
        "metadata": _written(body["metadata"]),
        "spec": {**body["spec"], "template": pod(body["spec"]["template"])},
    }


def _written(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that people write."""
    return {
        key: value
        for key, value in metadata.items()
        if fields.METADATA[key] in (fields.TEXT, fields.TEXTS) and value is not None
    }


def _workload(simple: Mapping[str, Any], kind: str) -> Workload:
    restart = str(simple["spec"].get("restartPolicy") or "Always")
    readers: dict[str, tuple[type[Any], Callable[[Any], Workload | None]]] = {
        "Pod": (SubmittedPod, lambda raw: _pod(raw, restart)),
        "Job": (KubernetesJob, lambda raw: reading.job(raw, ())),
        "StatefulSet": (ReplicatedWorkload, lambda raw: reading.replicated(raw, WorkloadType.WORKSPACE, ())),
        "Deployment": (ReplicatedWorkload, lambda raw: reading.replicated(raw, WorkloadType.INFERENCE, ())),
    }
    type_, reader = readers[kind]
    try:
        made = reader(msgspec.convert(simple, type_))
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
        hint = "a name that is made up would be another one each time" if "generateName" in simple["metadata"] else ""
        raise Invalid("metadata.name: an object needs a name", hint=hint, field="metadata.name")
    return made


def _pod(raw: Any, restart: str) -> Workload | None:
    """A pod that is not started again runs once, as a training of its own."""
    made = reading.bare_pod(raw, ())
    if made is None or restart == "Always":
        return made
    limit = 0 if restart == "Never" else 6
    return replace(made, spec=replace(made.spec, type=WorkloadType.TRAINING, backoff_limit=limit))


def _priority(pod: Mapping[str, Any], spec: WorkloadSpec, where: str) -> Iterator[Note]:
    """What a priority class says that the type does not."""
    name = pod.get("priorityClassName")
    path, rank = f"{where}spec.priorityClassName", admission.ranked(spec).priority
    if name and name not in requests.CLASSES:
        yield path, f"there is no class {name} here; type {spec.type} has priority {rank}"
    elif name and requests.CLASSES[name] != rank:
        may = "may" if admission.ranked(spec).preemptible else "may not"
        yield path, f"it {may} be preempted; type {spec.type} has priority {rank}"


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
