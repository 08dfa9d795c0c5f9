"""Pods that do not exist: those that a workload would begin with, as admission and the API server would make them.

Not here: what else changes pods as they are created: defaults of LimitRanges, webhooks of others.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from migctl.backends.kubernetes.client.resources import PODS
from migctl.backends.kubernetes.meaning import names, record_of
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod
from migctl.backends.kubernetes.user.kinds import DEPLOYMENTS, JOBS, STATEFUL_SETS
from migctl.backends.kubernetes.user.manifests import Json, manifest
from migctl.backends.workload_status import first_indexes, imagined_uid
from migctl.objects import Workload

MAKERS = {JOBS.title: "Job", STATEFUL_SETS.title: "StatefulSet", DEPLOYMENTS.title: "ReplicaSet"}
"""What makes the pods of an object, by the object's kind."""


def pods(workload: Workload, now: datetime) -> tuple[GpuPod, ...]:
    """The workload's first pods, in the order of their numbers. Raises Invalid for what a cluster cannot run."""
    body = manifest(workload)
    found = (record_of.pod(PODS.one.decode(_pod(workload, body, i, now))) for i in first_indexes(workload))
    return tuple(pod for pod in found if isinstance(pod, GpuPod))


def claim_record(pod: GpuPod, index: int) -> ClaimRecord:
    """The ResourceClaim of one of them, which waits."""
    return ClaimRecord(
        name=pod.claim,
        namespace=pod.namespace,
        uid=imagined_uid(index),
        version=0,
        pod=pod.name,
        pod_uid=pod.uid,
        created=pod.created,
        deleting=None,
        finalizers=(),
        grant=None,
        broken="",
        allocated=None,
        reserved=False,
    )


def _pod(workload: Workload, body: Json, index: int, now: datetime) -> bytes:
    name, spec = f"{workload.meta.name}-{index}", workload.spec
    template = body["spec"]["template"]
    metadata, owner = template["metadata"], MAKERS[body["kind"]]
    annotations = dict(metadata["annotations"])
    if not spec.gpu_request.is_part:
        annotations[names.WHOLE] = str(spec.gpu_request.devices)
    if spec.gang is not None and owner == "Job":
        annotations[names.GANG_MEMBERS] = str(body["spec"]["completions"])
    made_by = {"apiVersion": body["apiVersion"], "kind": owner, "name": workload.meta.name, "controller": True}
    return msgspec.json.encode(
        {
            "metadata": {
                "name": name,
                "namespace": workload.meta.project,
                "uid": f"{imagined_uid(index)}-pod",
                "resourceVersion": "0",
                "creationTimestamp": now,
                "labels": {**metadata["labels"], names.INDEX_LABELS[0]: str(index)},
                "annotations": annotations,
                "ownerReferences": [{**made_by, "uid": "imagined"}],
            },
            "spec": {
                **template["spec"],
                "schedulingGates": [{"name": names.GATE}],
                "resourceClaims": [{"name": names.CLAIM, "resourceClaimTemplateName": names.CLAIM}],
            },
            "status": {
                "phase": "Pending",
                "resourceClaimStatuses": [{"name": names.CLAIM, "resourceClaimName": name}],
            },
        }
    )
