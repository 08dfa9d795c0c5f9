"""What a pod requests, by its annotations, and its priority, by what made it.

Admission has refused what cannot be read; a pod from before migctl may still carry such an
annotation, and stays pending with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from migctl.backends.kubernetes.meaning import names
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.objects import GangSpec, GpuRequest, WorkloadType
from migctl.quantities import BadQuantity, annotation_memory, fraction, fraction_or_gpus
from solver.model import priorities

_PROFILE = re.compile(r"[1-9][0-9]*g[.]")

BY_TYPE: Mapping[WorkloadType, int] = {
    WorkloadType.TRAINING: priorities.TRAINING,
    WorkloadType.DISTRIBUTED: priorities.TRAINING,
    WorkloadType.WORKSPACE: priorities.INTERACTIVE,
    WorkloadType.INFERENCE: priorities.INFERENCE,
}
CLASSES = {
    "train": priorities.TRAINING,
    "interactive-preemptible": priorities.INTERACTIVE_PREEMPTIBLE,
    "build": priorities.INTERACTIVE,
    "inference": priorities.INFERENCE,
}
"""Priority classes of existing YAML and their numbers, for what is no pod yet: a pod has its number written on it."""

BY_OWNER: Mapping[str, WorkloadType] = {
    "Job": WorkloadType.TRAINING,
    "StatefulSet": WorkloadType.WORKSPACE,
    "ReplicaSet": WorkloadType.INFERENCE,
    "Deployment": WorkloadType.INFERENCE,
}


def gpu_request(annotations: Mapping[str, str]) -> GpuRequest:
    """The request in annotations. Raises BadQuantity, with a sentence that names the annotation."""
    model = annotations.get(names.MODEL)
    if names.CONTAINERS in annotations:
        return together(tuple(of_containers(annotations).values()))
    devices = _count(names.DEVICES, annotations.get(names.DEVICES, "1"))
    try:
        if names.FRACTION in annotations:
            return GpuRequest(fraction=fraction(annotations[names.FRACTION]), devices=devices, model=model)
        if names.MEMORY in annotations:
            return GpuRequest(memory_mib=annotation_memory(annotations[names.MEMORY]), devices=devices, model=model)
    except BadQuantity as error:
        name = names.FRACTION if names.FRACTION in annotations else names.MEMORY
        raise BadQuantity(f"{name}: {error}", error.hint) from None
    if names.PROFILE in annotations:
        return GpuRequest(profile=annotations[names.PROFILE], devices=devices, model=model)
    return GpuRequest(devices=_count(names.WHOLE, annotations.get(names.WHOLE, "1")), model=model)


def of_containers(annotations: Mapping[str, str]) -> dict[str, GpuRequest]:
    """What the containers of a pod request, each for itself, by the claim's requests. Raises BadQuantity."""
    found: dict[str, GpuRequest] = {}
    for token in annotations[names.CONTAINERS].split():
        request, _, rest = token.partition(":")
        container, _, text = rest.partition("=")
        if not (request and container and text):
            raise BadQuantity(f"{names.CONTAINERS}: {token!r} cannot be read", "let admission write it")
        one = msgspec.structs.replace(of_a_container(text), container=container, model=annotations.get(names.MODEL))
        found.setdefault(request, one)
    if not found:
        raise BadQuantity(f"{names.CONTAINERS}: no container is named", "let admission write it")
    return found


def of_a_container(text: str) -> GpuRequest:
    """A container's request: 2, 0.5, 10G or 2g.10gb. Raises BadQuantity."""
    if _PROFILE.match(text):
        return GpuRequest(profile=text)
    if text[-1:].isalpha():
        return GpuRequest(memory_mib=annotation_memory(text))
    count = fraction_or_gpus(text)
    return GpuRequest(fraction=count) if isinstance(count, float) else GpuRequest(devices=count)


def together(requests: Sequence[GpuRequest]) -> GpuRequest:
    """The request of a pod whose containers request these."""
    if len(requests) == 1:
        return msgspec.structs.replace(requests[0], container="")
    return GpuRequest(devices=sum(one.devices for one in requests), containers=tuple(requests))


def of_devices(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The claim's request that each device of a grant is for; () where the claim has one only. Raises BadQuantity."""
    if names.CONTAINERS not in annotations:
        return ()
    parts = of_containers(annotations)
    return tuple(name for name, part in parts.items() for _ in range(part.devices)) if len(parts) > 1 else ()


def _count(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise BadQuantity(f"{name}: {text!r} is no number of GPUs", "give 1, 2, ...")


def pools(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Node pools, in order of preference."""
    return tuple(annotations.get(names.POOLS, "").replace(",", " ").split())


def movable(annotations: Mapping[str, str]) -> bool:
    """Whether the pod may be stopped to start again elsewhere."""
    return annotations.get(names.MOVABLE) != "false"


def gang(annotations: Mapping[str, str]) -> GangSpec | None:
    """The gang that a pod is in; None where the annotation names no size of two or more."""
    size = annotations.get(names.GANG_SIZE, "")
    if not (size.isascii() and size.isdigit()) or int(size) < 2:
        return None
    return GangSpec(size=int(size), domain=annotations.get(names.GANG_DOMAIN))


def gang_of(pod: GpuPod) -> tuple[str, str] | None:
    """The gang that a pod is in: its namespace, and what makes its members, "Job/train"; None where it is in none.

    Planner and gates know a gang by this. The ReplicaSets of a Deployment make one gang: in a rollout the new pods join
    those that run.
    """
    if gang(pod.annotations) is None:
        return None
    owner = pod.owner
    if owner is None:
        return pod.namespace, f"Pod/{pod.name}"
    if owner.kind == "ReplicaSet":
        return pod.namespace, f"Deployment/{_deployment(owner.name, pod.labels)}"
    return pod.namespace, f"{owner.kind}/{owner.name}"


def gang_size(pod: GpuPod, succeeded: int) -> int:
    """How many members must have a place before one starts: not more than can still come.

    succeeded  members of the gang that have ended well
    """
    spec = gang(pod.annotations)
    size = 1 if spec is None else spec.size
    members = pod.annotations.get(names.GANG_MEMBERS, "")
    return max(1, min(size, int(members) - succeeded)) if members.isascii() and members.isdigit() else size


def _deployment(replica_set: str, labels: Mapping[str, str]) -> str:
    return replica_set.removesuffix("-" + labels.get("pod-template-hash", ""))


def pod_index(labels: Mapping[str, str]) -> int | None:
    """The index of a pod in its Job or StatefulSet, from 0; None where it has none."""
    return next((int(labels[label]) for label in names.INDEX_LABELS if labels.get(label, "").isdigit()), None)


def workload(pod: GpuPod) -> tuple[str, str, WorkloadType]:
    """The workload a pod belongs to: its name, its uid and type. A pod that nothing made stands for itself."""
    owner = pod.owner
    if owner is None:
        return pod.name, pod.uid, type_of(pod.labels, WorkloadType.WORKSPACE)
    name = owner.name
    if owner.kind == "ReplicaSet":
        name = _deployment(name, pod.labels)
    return pod.labels.get(names.WORKLOAD_LABEL, name), owner.uid, type_of(pod.labels, BY_OWNER.get(owner.kind))


def type_of(labels: Mapping[str, str], usual: WorkloadType | None) -> WorkloadType:
    """The type that a label names, or else the usual one of what made the pod."""
    labelled = labels.get(names.TYPE_LABEL)
    if labelled in set(WorkloadType):
        return WorkloadType(labelled)
    return usual or WorkloadType.TRAINING


def rank(
    annotations: Mapping[str, str],
    priority_class: str,
    type_: WorkloadType,
    *,
    number: int | None = None,
    alone: bool = False,
) -> tuple[int, bool]:
    """Priority, and whether it may be preempted: by its class, its annotation, or else its type.

    number  the class's, as Kubernetes wrote it on the pod; 0 is what pods without a class have
    alone   nothing makes the pod again, so it is preempted only where it says that it may be
    """
    preemptible = annotations.get(names.PREEMPTIBLE)
    of_class = (number or CLASSES.get(priority_class)) if priority_class else None
    priority = BY_TYPE[type_] if of_class is None else of_class
    if preemptible == "true" and priority >= priorities.FIRST_NON_PREEMPTIBLE and type_ is not WorkloadType.INFERENCE:
        priority = priorities.INTERACTIVE_PREEMPTIBLE
    may_be_preempted = priority < priorities.FIRST_NON_PREEMPTIBLE and preemptible != "false"
    if alone and preemptible != "true" and of_class is None:
        may_be_preempted = False
    return priority, may_be_preempted
