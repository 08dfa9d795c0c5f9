"""From a spec as it was sent to a WorkloadSpec. Every refusal names the field as it was sent, and the rule."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from migctl import quantities
from migctl.api.v1.errors import refusal
from migctl.api.v1.schemas.workload_specs import (
    CommonSpec,
    Compute,
    DistributedSpec,
    EndingSpec,
    GpuRequestType,
    InferenceSpec,
    NamedValue,
    Preemptibility,
    TrainingSpec,
)
from migctl.backends.protocol import Invalid, NotFound
from migctl.objects import GangSpec, GpuRequest, WorkloadSpec, WorkloadType

OWN_LABELS = "migctl.dev/"
"""How the names of labels begin that migctl writes itself."""
PYTORCH = "pytorch"

PRIORITIES: Mapping[WorkloadType, frozenset[str]] = MappingProxyType(
    {
        WorkloadType.TRAINING: frozenset(("low", "train")),
        WorkloadType.DISTRIBUTED: frozenset(("low", "train")),
        WorkloadType.WORKSPACE: frozenset(("high", "build", "interactive-preemptible")),
        WorkloadType.INFERENCE: frozenset(("very-high", "inference")),
    }
)
"""The priority classes that say what a type's priority is anyway."""
PREEMPTIBLE_CLASS = "interactive-preemptible"

SENT_AS: Mapping[str, str] = MappingProxyType(
    {
        "meta.name": "name",
        "meta.project": "projectId",
        "meta.labels": "spec.labels",
        "spec.gpuRequest.fraction": "spec.compute.gpuPortionRequest",
        "spec.gpuRequest.memoryMib": "spec.compute.gpuMemoryRequest",
        "spec.gpuRequest.profile": "spec.compute.migProfile",
        "spec.gpuRequest.devices": "spec.compute.gpuDevicesRequest",
        "spec.gpuRequest.model": "spec.nodeType",
        "spec.gpuRequest": "spec.compute",
        "spec.pools": "spec.nodePools",
        "spec.environment": "spec.environmentVariables",
        "spec.directory": "spec.workingDir",
        "spec.ttlAfterFinishS": "spec.autoDeletionTimeAfterCompletionSeconds",
    }
)
"""What a field of a workload is called where it is submitted; those not named here are called the same."""


@contextmanager
def sent_names() -> Iterator[None]:
    """Admission's refusals, with the names of the fields as they were sent."""
    try:
        yield
    except (Invalid, NotFound) as error:
        field, _, rule = str(error).partition(": ")
        known = next((ours for ours in SENT_AS if field == ours or field.startswith(f"{ours}.")), None)
        if known is None:
            raise
        named = SENT_AS[known] + field.removeprefix(known)
        text = f"{named}: {rule}"
        raise (Invalid(text, error.hint, named) if isinstance(error, Invalid) else NotFound(text, error.hint)) from None


def workload_spec(kind: WorkloadType, sent: CommonSpec) -> WorkloadSpec:
    """Raises Invalid. Its user and priority come later, as for every submission."""
    if not sent.image:
        raise refusal("spec.image", "a workload needs an image", "without a cluster it is recorded only")
    command, args = _words("spec.command", sent.command), _words("spec.args", sent.args)
    pods = _pods(sent)
    return WorkloadSpec(
        type=kind,
        gpu_request=_gpu_request(sent.compute or Compute(), sent.node_type),
        image=sent.image,
        command=command + args,
        entrypoint=bool(command),
        environment={one.name: one.value for one in sent.environment_variables or ()},
        directory=sent.working_dir or "",
        preemptible=_preemptible(kind, sent),
        pools=tuple(sent.node_pools or ()),
        parallelism=pods,
        gang=GangSpec(size=pods) if isinstance(sent, DistributedSpec) else None,
        completions=sent.completions if isinstance(sent, TrainingSpec) else None,
        **_ending(sent),
    )


def labels(sent: CommonSpec) -> dict[str, str]:
    """The labels that were sent. Raises Invalid for those that are migctl's own."""
    own = next((one for one in sent.labels or () if one.name.startswith(OWN_LABELS)), None)
    if own is not None:
        raise refusal("spec.labels", f"{own.name!r}: names that begin with {OWN_LABELS} are migctl's own")
    return _by_name(sent.labels)


def replicas(sent: InferenceSpec) -> int:
    """How many replicas an inference has. Raises Invalid where that is no fixed number."""
    scaling = sent.autoscaling
    if scaling is None:
        return 1
    least = 1 if scaling.min_replicas is None else scaling.min_replicas
    most = max(1, least) if scaling.max_replicas is None else scaling.max_replicas
    if least < 1:
        raise refusal(
            "spec.autoscaling.minReplicas", f"{least}: at least one replica runs", "suspend it to free its GPUs"
        )
    if least != most:
        raise refusal(
            "spec.autoscaling.maxReplicas",
            f"{most}: the number of replicas is fixed here, and minReplicas is {least}",
            "make both the same; PATCH changes them later",
        )
    return least


def _by_name(sent: list[NamedValue] | None) -> dict[str, str]:
    return {one.name: one.value for one in sent or ()}


def _pods(sent: CommonSpec) -> int:
    match sent:
        case TrainingSpec():
            return 1 if sent.parallelism is None else sent.parallelism
        case InferenceSpec():
            return replicas(sent)
        case DistributedSpec():
            framework = sent.distributed_framework
            if framework is None or framework.lower() != PYTORCH:
                raise refusal(
                    "spec.distributedFramework",
                    f"{framework}: pods are told of each other in the way of PyTorch only",
                    "PyTorch: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE",
                )
            return 1 + (1 if sent.num_workers is None else sent.num_workers)
    return 1


def _ending(sent: CommonSpec) -> dict[str, Any]:
    if not isinstance(sent, EndingSpec):
        return {}
    given = {
        "backoff_limit": sent.backoff_limit,
        "ttl_after_finish_s": sent.auto_deletion_time_after_completion_seconds,
    }
    return {name: value for name, value in given.items() if value is not None}


def _preemptible(kind: WorkloadType, sent: CommonSpec) -> bool:
    known = PRIORITIES[kind]
    if sent.priority_class is not None and sent.priority_class not in known:
        raise refusal(
            "spec.priorityClass",
            f"{sent.priority_class!r}: a {kind} has the priority of its type",
            f"leave it out, or give {' or '.join(sorted(known))}",
        )
    by_class = sent.priority_class == PREEMPTIBLE_CLASS
    if sent.preemptibility is None:
        return by_class or kind in (WorkloadType.TRAINING, WorkloadType.DISTRIBUTED)
    wanted = sent.preemptibility is Preemptibility.PREEMPTIBLE
    if wanted and kind is WorkloadType.INFERENCE:
        raise refusal("spec.preemptibility", "an inference is never preempted", "leave it out")
    if by_class and not wanted:
        raise refusal("spec.preemptibility", f"{sent.preemptibility} contradicts priorityClass {PREEMPTIBLE_CLASS}")
    return wanted


def _words(field: str, sent: str | list[str] | None) -> tuple[str, ...]:
    if not isinstance(sent, str):
        return tuple(sent or ())
    try:
        return tuple(shlex.split(sent))
    except ValueError as error:
        raise refusal(field, f"cannot be split as a shell does: {error}", "give a list of arguments") from None


def _gpu_request(sent: Compute, model: str | None) -> GpuRequest:
    _check_limits(sent)
    requests = {
        GpuRequestType.PORTION: sent.gpu_portion_request,
        GpuRequestType.MEMORY: sent.gpu_memory_request,
        GpuRequestType.MIG_PROFILE: sent.mig_profile,
    }
    given = [type for type, value in requests.items() if value is not None]
    if len(given) > 1:
        named = " and ".join(REQUEST_FIELDS[type] for type in given)
        raise refusal("spec.compute", f"{named} exclude each other", "request one of them")
    if sent.gpu_request_type is not None and given != [sent.gpu_request_type]:
        wanted = REQUEST_FIELDS[sent.gpu_request_type]
        raise refusal("spec.compute.gpuRequestType", f"{sent.gpu_request_type} without {wanted}", f"add {wanted}")
    if sent.gpu_devices_request == 0 or not (given or sent.gpu_devices_request):
        raise refusal(
            "spec.compute.gpuDevicesRequest",
            "no GPU is asked for, and migctl shares GPUs only",
            "gpuDevicesRequest 1, or gpuPortionRequest 0.5, gpuMemoryRequest 5G or migProfile 2g.10gb",
        )
    portion = sent.gpu_portion_request
    return GpuRequest(
        fraction=None if portion == 1 else portion,
        memory_mib=_memory("gpuMemoryRequest", sent.gpu_memory_request),
        profile=sent.mig_profile,
        devices=1 if sent.gpu_devices_request is None else sent.gpu_devices_request,
        model=model or None,
    )


REQUEST_FIELDS: Mapping[GpuRequestType, str] = MappingProxyType(
    {
        GpuRequestType.PORTION: "gpuPortionRequest",
        GpuRequestType.MEMORY: "gpuMemoryRequest",
        GpuRequestType.MIG_PROFILE: "migProfile",
    }
)


def _check_limits(sent: Compute) -> None:
    """A limit is not below its request."""
    memory, memory_limit = (
        _memory("gpuMemoryRequest", sent.gpu_memory_request),
        _memory("gpuMemoryLimit", sent.gpu_memory_limit),
    )
    cpu_memory, cpu_memory_limit = (
        _bytes("cpuMemoryRequest", sent.cpu_memory_request),
        _bytes("cpuMemoryLimit", sent.cpu_memory_limit),
    )
    pairs = (
        ("gpuPortion", sent.gpu_portion_request, sent.gpu_portion_limit),
        ("gpuMemory", memory, memory_limit),
        ("cpuCore", sent.cpu_core_request, sent.cpu_core_limit),
        ("cpuMemory", cpu_memory, cpu_memory_limit),
    )
    for name, request, limit in pairs:
        field = f"spec.compute.{name}Limit"
        if limit is not None and request is None and name.startswith("gpu"):
            raise refusal(field, f"a limit without {name}Request", f"add {name}Request")
        if limit is not None and request is not None and limit < request:
            raise refusal(field, f"is below {name}Request", "a limit is at least the request")


def _memory(field: str, text: str | None) -> int | None:
    """GPU memory in MiB."""
    return _read(field, text, quantities.flag_memory)


def _bytes(field: str, text: str | None) -> int | None:
    """Memory of the machine, in bytes."""
    return _read(field, text, quantities.memory_bytes)


def _read(field: str, text: str | None, read: Callable[[str], int]) -> int | None:
    if text is None:
        return None
    try:
        return read(text)
    except quantities.BadQuantity as error:
        raise refusal(f"spec.compute.{field}", str(error), error.hint) from None
