"""The workload that a Job, a StatefulSet, a Deployment, a bare pod, or another controller's pods are.

Objects that request no GPU are none. The status is made of the pods' claims by workload_status, as in the embedded
control plane; that a workload has ended is the Job's to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from migctl.backends.kubernetes.client.kinds import Metadata
from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.meaning.custom import meta
from migctl.backends.kubernetes.user.kinds import (
    KubernetesJob,
    PodTemplate,
    ReplicatedWorkload,
    SubmittedContainer,
    SubmittedPod,
    SubmittedPodSpec,
)
from migctl.backends.kubernetes.user.manifests import as_typed
from migctl.backends.workload_status import summary, with_claims_reason
from migctl.objects import (
    Claim,
    GpuRequest,
    Phase,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    WorkloadType,
)
from migctl.quantities import BadQuantity

ENDED = {"Complete": Phase.COMPLETED, "Failed": Phase.FAILED}
POD_ENDED = {"Succeeded": Phase.COMPLETED, "Failed": Phase.FAILED}


def job(raw: KubernetesJob, claims: Sequence[Claim]) -> Workload | None:
    """The workload that a Job is; None where it requests no GPU."""
    spec = _spec(raw.spec.template, WorkloadType.TRAINING, raw.metadata)
    if spec is None:
        return None
    fields, parallelism = raw.spec, raw.spec.parallelism
    parallelism = 1 if parallelism is None else parallelism
    ended = next((c for c in raw.status.conditions or () if c.type in ENDED and c.status == "True"), None)
    full = replace(
        spec,
        parallelism=parallelism,
        completions=fields.completions if fields.completions != parallelism else None,
        backoff_limit=6 if fields.backoff_limit is None else fields.backoff_limit,
        ttl_after_finish_s=fields.ttl_seconds_after_finished,
        suspended=bool(fields.suspend),
    )
    before = WorkloadStatus()
    if ended is not None:
        message = ended.message or ""
        reason = ended.reason if ended.type == "Failed" else ""
        before = WorkloadStatus(phase=ENDED[ended.type], reason=reason, message=message if reason else "")
    seen = _with_status(raw.metadata, full, before, claims)
    status = replace(
        seen.status,
        succeeded=raw.status.succeeded or 0,
        failed=raw.status.failed or 0,
        started=raw.status.start_time,
        finished=raw.status.completion_time or (ended.last_transition_time if ended else None),
    )
    return replace(seen, status=status)


def replicated(raw: ReplicatedWorkload, usual: WorkloadType, claims: Sequence[Claim]) -> Workload | None:
    """The workload that a StatefulSet or a Deployment is; None where it requests no GPU.

    With no replicas it is suspended; its annotation says how many it had.
    """
    spec = _spec(raw.spec.template, usual, raw.metadata)
    if spec is None:
        return None
    replicas = 1 if raw.spec.replicas is None else raw.spec.replicas
    full = replace(spec, parallelism=replicas or replicas_before(raw.metadata), suspended=replicas == 0)
    return _with_status(raw.metadata, full, WorkloadStatus(), claims)


def replicas_before(metadata: Metadata) -> int:
    """How many replicas something suspended had, at least one."""
    text = (metadata.annotations or {}).get(names.REPLICAS, "")
    return max(1, int(text)) if text.isascii() and text.isdigit() else 1


def bare_pod(raw: SubmittedPod, claims: Sequence[Claim]) -> Workload | None:
    """The workload that a pod is which nothing made; None where it requests no GPU."""
    spec = _spec(PodTemplate(raw.metadata, raw.spec), WorkloadType.WORKSPACE, raw.metadata, alone=True)
    if spec is None:
        return None
    ended = POD_ENDED.get(raw.status.phase)
    before = WorkloadStatus() if ended is None else WorkloadStatus(phase=ended, reason=raw.status.reason)
    seen = _with_status(raw.metadata, spec, before, claims)
    return replace(seen, status=replace(seen.status, started=raw.status.start_time))


def of_pods(
    name: str, uid: str, type_: WorkloadType, pods: Sequence[SubmittedPod], claims: Sequence[Claim]
) -> Workload | None:
    """The workload that made these pods and is of a kind that only its own controller knows."""
    first = min(pods, key=lambda pod: pod.metadata.name)
    spec = _spec(PodTemplate(first.metadata, first.spec), type_, first.metadata)
    if spec is None:
        return None
    created = min((moment for pod in pods if (moment := pod.metadata.creation_timestamp)), default=None)
    newest = max((pod.metadata.resource_version for pod in pods), key=int)
    made = Metadata(
        name=name,
        namespace=first.metadata.namespace,
        uid=uid,
        resource_version=newest,
        creation_timestamp=created,
        labels=first.metadata.labels,
    )
    return _with_status(made, replace(spec, parallelism=len(pods)), WorkloadStatus(), claims)


def _with_status(metadata: Metadata, spec: WorkloadSpec, before: WorkloadStatus, claims: Sequence[Claim]) -> Workload:
    """The workload with the rank and status that its claims have; whether it has ended is not theirs to say."""
    living = [claim for claim in claims if not claim.status.phase.finished]
    if living:  # a template names a priority class, a pod has its number
        spec = replace(spec, priority=living[0].spec.priority, preemptible=living[0].spec.preemptible)
    workload = Workload(meta=meta(metadata), spec=spec, status=before)
    status = summary(workload, living)
    if not status.phase.finished and not status.reason:
        status = with_claims_reason(status, living)
    return replace(workload, status=status)


def _spec(template: PodTemplate, usual: WorkloadType, owner: Metadata, *, alone: bool = False) -> WorkloadSpec | None:
    """The spec that the template of its pods gives; None where it requests no GPU."""
    annotations = template.metadata.annotations or {}
    gpu_request = gpu_request_of(annotations, template.spec)
    if gpu_request is None:
        return None
    labels = {**(owner.labels or {}), **(template.metadata.labels or {})}
    type_ = requests.type_of(labels, usual)
    priority, preemptible = requests.rank(annotations, template.spec.priority_class_name, type_, alone=alone)
    container = _container(annotations, template.spec)
    return WorkloadSpec(
        type=type_,
        gpu_request=gpu_request,
        image=container.image,
        command=tuple(map(as_typed, (*(container.command or ()), *(container.args or ())))),
        entrypoint=bool(container.command),
        environment={variable.name: as_typed(variable.value) for variable in container.env or ()},
        directory=container.working_dir,
        user=labels.get(names.USER_LABEL, ""),
        priority=priority,
        preemptible=preemptible,
        movable=requests.movable(annotations),
        pools=requests.pools(annotations),
        gang=requests.gang(annotations),
    )


def gpu_request_of(annotations: Mapping[str, str], spec: SubmittedPodSpec) -> GpuRequest | None:
    """The request of a template's pods; None where that is no GPU. What cannot be read counts as one GPU."""
    try:
        own = _of_containers(annotations, spec)
    except BadQuantity:
        return GpuRequest()
    if own:
        return requests.together(own)
    devices = whole_gpus(spec)
    if devices:
        annotations = {**annotations, names.WHOLE: str(devices)}
    if not any(name in annotations for name in names.REQUEST_ANNOTATIONS):
        return None
    try:
        return requests.gpu_request(annotations)
    except BadQuantity:
        return GpuRequest()


def _of_containers(annotations: Mapping[str, str], spec: SubmittedPodSpec) -> list[GpuRequest]:
    """What each of the containers that run beside each other requests; [] where only one does, and whole GPUs."""
    own = [(container, _of_a_container(annotations, container)) for container in _beside(spec)]
    found = [replace(request, container=container.name) for container, request in own if request is not None]
    return found if len(found) > 1 or any(request.is_part for request in found) else []


def _of_a_container(annotations: Mapping[str, str], container: SubmittedContainer) -> GpuRequest | None:
    text = next((v for name in names.OF_A_CONTAINER if (v := annotations.get(f"{name}.{container.name}"))), "")
    if text.isdigit():  # memory in MiB
        text += "Mi"
    text = text or str(_limit(container) or "")
    return requests.of_a_container(text) if text else None


def _beside(spec: SubmittedPodSpec) -> list[SubmittedContainer]:
    """The containers that run beside each other: sidecars, and those that are started after all init containers."""
    sidecars = (container for container in spec.init_containers or () if container.restart_policy == "Always")
    return [*sidecars, *(spec.containers or ())]


def whole_gpus(spec: SubmittedPodSpec) -> int:
    """Whole GPUs by the limits, as admission counts them: init containers run before the others, one at a time."""
    side_by_side = sum(map(_limit, _beside(spec)))
    return max(side_by_side, *map(_limit, spec.init_containers or ()), 0)


def _limit(container: SubmittedContainer) -> int:
    limits = (container.resources.limits if container.resources else None) or {}
    text = str(limits.get(names.RESOURCE, "0"))
    return int(text) if text.isascii() and text.isdigit() else 0


def _container(annotations: Mapping[str, str], spec: SubmittedPodSpec) -> SubmittedContainer:
    """The container that the request is about: the named one, or else the first."""
    containers = spec.containers or (SubmittedContainer(),)
    return next((c for c in containers if c.name == annotations.get(names.CONTAINER)), containers[0])


def container_name(pod: SubmittedPod) -> str:
    """The container whose output is a pod's."""
    return _container(pod.metadata.annotations or {}, pod.spec).name


def newest_attempts(pods: Iterable[SubmittedPod]) -> list[SubmittedPod]:
    """Of the pods of each number the newest; of those without one all that have not failed, or the last that has."""
    numbered: dict[int, SubmittedPod] = {}
    loose: list[SubmittedPod] = []
    for pod in sorted(pods, key=_age):
        number = requests.pod_index(pod.metadata.labels or {})
        if number is None:
            loose.append(pod)
        else:
            numbered[number] = pod
    going_on = [pod for pod in loose if pod.status.phase != "Failed"]
    return [numbered[number] for number in sorted(numbered)] + (going_on or loose[-1:])


def _age(pod: SubmittedPod) -> tuple[float, int]:
    created = pod.metadata.creation_timestamp
    return created.timestamp() if created else 0.0, int(pod.metadata.resource_version)
