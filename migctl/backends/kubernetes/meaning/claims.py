"""A claim of migctl is a pod and its ResourceClaim: the request and the allocation.

    identity        the ResourceClaim's uid, by which agents know it; the pod's name and namespace
    spec            the pod's annotations, owner and priority
    allocation      the ResourceClaim's
    reason, message the pod's condition migctl.dev/Placed
    nomination, evicted, rounded   the pod's annotations

A claim that is deleted under a pod that goes on counts as before: deleting it is not giving it back.

Its version is the sum of both versions: it grows whichever of them changes, in whatever order the
events arrive.
"""

from __future__ import annotations

import msgspec

from migctl.backends import workload_status
from migctl.backends.kubernetes.meaning import names, requests
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.objects import Claim, ClaimSpec, ClaimStatus, GpuRequest, Meta, Phase
from migctl.quantities import BadQuantity
from nodeagent.contract.allocation import Allocation
from solver.model.demand import Grant

OTHER_GATES = "other-gates"
UNREADABLE = "unreadable-request"
UNREADABLE_ALLOCATION = "unreadable-allocation"


def claim(pod: GpuPod, record: ClaimRecord) -> Claim:
    """The claim of a pod that has one."""
    name, uid, type_ = requests.workload(pod)
    priority, preemptible = requests.rank(
        pod.annotations, pod.priority_class, type_, number=pod.priority, alone=pod.owner is None
    )
    status = _status(pod, record)
    try:
        gpu_request = requests.gpu_request(pod.annotations)
    except BadQuantity as error:
        gpu_request = GpuRequest()
        status = msgspec.structs.replace(
            status, phase=Phase.SUSPENDED, reason=UNREADABLE, message=f"{error}; {error.hint}"
        )
    return Claim(
        meta=Meta(
            name=pod.name,
            project=pod.namespace,
            uid=record.uid,
            version=str(pod.version + record.version),
            created=pod.created,
            deleting=pod.deleting or (record.deleting if record.grant is None else None),
            labels=pod.labels,
        ),
        spec=ClaimSpec(
            workload=name,
            workload_uid=uid,
            gpu_request=gpu_request,
            index=requests.pod_index(pod.labels) or 0,
            priority=priority,
            preemptible=preemptible,
            movable=requests.movable(pod.annotations),
            pools=requests.pools(pod.annotations),
        ),
        status=status,
    )


def orphan(record: ClaimRecord, last: Claim | None) -> Claim:
    """A claim whose pod is deleted: it holds its devices until Kubernetes clears the allocation."""
    if last is not None:
        meta = msgspec.structs.replace(
            last.meta, deleting=last.meta.deleting or record.deleting or record.created, version=str(record.version)
        )
        status = msgspec.structs.replace(last.status, allocation=record.grant, phase=Phase.TERMINATING)
        return msgspec.structs.replace(last, meta=meta, status=status)
    return Claim(
        meta=Meta(
            name=record.pod,
            project=record.namespace,
            uid=record.uid,
            version=str(record.version),
            created=record.created,
            deleting=record.deleting or record.created,
        ),
        spec=ClaimSpec(workload=record.pod, workload_uid=record.pod_uid, gpu_request=_held(record.grant)),
        status=ClaimStatus(phase=Phase.TERMINATING, allocation=record.grant, allocated=record.allocated),
    )


def record_of(held: Allocation, pod: GpuPod | None) -> ClaimRecord:
    """What is left of a deleted ResourceClaim: its allocation, as the agent that holds its devices reports it.

    pod  the pod that it was made for, while it exists
    """
    return ClaimRecord(
        namespace=held.project,
        name=pod.claim if pod is not None and pod.claim else held.claim,
        uid=held.claim,
        version=0,
        pod=held.name,
        pod_uid=pod.uid if pod is not None else "",
        created=pod.created if pod is not None else None,
        deleting=None,
        finalizers=(),
        grant=Grant(held.node, held.devices),
        broken="",
        allocated=pod.started if pod is not None else None,
        reserved=True,
    )


def gone(last: Claim, pod: GpuPod | None) -> Claim:
    """A claim that was deleted while its node still holds its devices: it is its pod's until that ends."""
    if pod is not None and pod.deleting is None and not pod.finished:
        return last
    meta = msgspec.structs.replace(last.meta, deleting=last.meta.deleting or last.meta.created)
    status = msgspec.structs.replace(last.status, phase=Phase.TERMINATING)
    return msgspec.structs.replace(last, meta=meta, status=status)


def _held(grant: Grant | None) -> GpuRequest:
    return GpuRequest(devices=len(grant.devices) if grant else 1)


def _status(pod: GpuPod, record: ClaimRecord) -> ClaimStatus:
    phase = _phase(pod, record)
    reason, message = _reason(pod, record, phase)
    return ClaimStatus(
        phase=phase,
        reason=reason,
        message=message,
        allocation=record.grant,
        allocated=record.allocated,
        nomination=_nomination(pod.annotations.get(names.NOMINATION)),
        rounded=pod.annotations.get(names.PLACED, ""),
        started=pod.started if phase is not Phase.PENDING else None,
        exit_code=pod.exit_code,
        evicted=pod.annotations.get(names.EVICTED, ""),
    )


def _phase(pod: GpuPod, record: ClaimRecord) -> Phase:
    if pod.phase == "Succeeded":
        return Phase.COMPLETED
    if pod.phase == "Failed":
        return Phase.FAILED
    if pod.deleting is not None:
        return Phase.TERMINATING
    if pod.phase == "Running":
        return Phase.RUNNING
    if record.grant is not None:
        return Phase.INITIALIZING
    if record.broken or any(gate != names.GATE for gate in pod.gates):
        return Phase.SUSPENDED
    return Phase.PENDING


def _reason(pod: GpuPod, record: ClaimRecord, phase: Phase) -> tuple[str, str]:
    """Reason and message of a phase: the ResourceClaim's, the pod's, kube-scheduler's or migctl's own."""
    if record.broken:
        return UNREADABLE_ALLOCATION, record.broken
    if phase is Phase.SUSPENDED:
        others = ", ".join(gate for gate in pod.gates if gate != names.GATE)
        return OTHER_GATES, f"the pod is held back by other scheduling gates: {others}"
    if phase is Phase.FAILED:
        code = workload_status.ending(pod.exit_code) if pod.exit_code is not None else ""
        return pod.reason or "Error", pod.message or code
    if phase is Phase.INITIALIZING and pod.waiting is not None:
        return pod.waiting.reason, pod.waiting.message
    if phase is Phase.INITIALIZING and not pod.node and pod.scheduled is not None and not pod.gated:
        return pod.scheduled.reason, pod.scheduled.message
    if phase is Phase.PENDING and pod.placed is not None and pod.placed.status == "False":
        return pod.placed.reason, pod.placed.message
    return "", ""


def _nomination(text: str | None) -> Grant | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Grant)
    except msgspec.MsgspecError:
        return None
