"""Objects of a cluster as API servers send them, with all that nobody here reads: a pod is 5.6 KB of JSON.

Every kind is built once as text with blanks, and filled in: a hundred thousand are made while they are sent.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from string import Template
from typing import Any

import msgspec

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import allocation_to_json, device_name, report_to_json
from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu
from solver.model.demand import DeviceShare, Grant

EACH = 8
PROJECTS = 20
MODEL = find("a100-40gb")
SHARES = (("3g.20gb", 0, 4), ("2g.10gb", 4, 2))
"""Profile, start and size of what runs on every GPU."""
_NOW = "2026-01-01T00:00:00Z"


def filled(template: Template, **blanks: object) -> bytes:
    return template.substitute(blanks).encode()


@functools.cache
def pod(*, gpu: bool) -> Template:
    """Blanks: name, namespace, uid, version, node; with GPUs: claim."""
    metadata: dict[str, Any] = {
        "name": "$name",
        "namespace": "$namespace",
        "uid": "$uid",
        "resourceVersion": "$version",
        "creationTimestamp": _NOW,
        "generateName": "training-",
        "labels": {"batch.kubernetes.io/job-name": "training", "controller-uid": "$uid", "user": "ana", "app": "llm"},
        "annotations": {"kubernetes.io/psp": "restricted", "prometheus.io/scrape": "true"},
        "ownerReferences": [_owner("batch/v1", "Job", "training")],
        "managedFields": [_managed("kube-controller-manager", 40), _managed("kubelet", 45)],
    }
    spec = _pod_spec()
    status = _pod_status()
    if gpu:
        metadata["annotations"]["migctl.dev/mig-profile"] = "2g.10gb"
        spec["resourceClaims"] = [{"name": "migctl", "resourceClaimTemplateName": "migctl-gpu"}]
        status["resourceClaimStatuses"] = [{"name": "migctl", "resourceClaimName": "$claim"}]
    return _template({"metadata": metadata, "spec": spec, "status": status})


def _pod_spec() -> dict[str, Any]:
    token = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True}
    ports = [{"containerPort": 8080 + n, "protocol": "TCP"} for n in range(3)]
    container = {
        "name": "main",
        "image": "registry.example.com/team/training:2026.1",
        "command": ["python", "-m", "train"],
        "args": [f"--option-{n}=value" for n in range(12)],
        "env": [{"name": f"VARIABLE_{n}", "value": "of the usual length"} for n in range(12)],
        "ports": ports,
        "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "volumeMounts": [{"name": f"data-{n}", "mountPath": f"/data/{n}"} for n in range(4)] + [token],
        "terminationMessagePath": "/dev/termination-log",
    }
    tolerations = [
        {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for word in ("not-ready", "unreachable")
    ]
    return {
        "nodeName": "$node",
        "containers": [container],
        "volumes": [{"name": f"data-{n}", "persistentVolumeClaim": {"claimName": f"data-{n}"}} for n in range(4)],
        "tolerations": tolerations,
        "schedulerName": "default-scheduler",
        "serviceAccountName": "default",
        "restartPolicy": "Never",
        "priority": 0,
    }


def _pod_status() -> dict[str, Any]:
    words = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    running = {
        "name": "main",
        "ready": True,
        "image": "registry.example.com/team/training:2026.1",
        "imageID": "sha256:" + 64 * "a",
        "containerID": "containerd://" + 64 * "b",
        "state": {"running": {"startedAt": _NOW}},
    }
    return {
        "phase": "Running",
        "conditions": [{"type": w, "status": "True", "lastTransitionTime": _NOW} for w in words],
        "containerStatuses": [running],
        "podIP": "10.0.0.1",
        "hostIP": "10.1.0.1",
        "startTime": _NOW,
    }


@functools.cache
def claim(share: int) -> Template:
    """A claim that is allocated. Blanks: name, namespace, uid, version, node, gpu, index, pod, pod_uid."""
    profile, start, size = SHARES[share]
    grant = Grant("$node", (DeviceShare("$gpu", Backing.MIG, size / 7, 5120 * size, profile, start, size),))
    allocation = allocation_to_json(grant, lambda share: device_name(0, share), datetime.fromisoformat(_NOW))
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.migctl.dev", "allocationMode": "ExactCount"}}
    return _template(
        {
            "metadata": {
                "name": "$name",
                "namespace": "$namespace",
                "uid": "$uid",
                "resourceVersion": "$version",
                "creationTimestamp": _NOW,
                "finalizers": ["resource.kubernetes.io/delete-protection"],
                "ownerReferences": [{**_owner("v1", "Pod", "$pod"), "uid": "$pod_uid"}],
                "managedFields": [_managed("kube-controller-manager", 10), _managed("migctl", 30)],
            },
            "spec": {"devices": {"requests": [request]}},
            "status": {
                "allocation": allocation,
                "reservedFor": [{"resource": "pods", "name": "$pod", "uid": "$pod_uid"}],
            },
        }
    )


def gpu_node(name: str, version: int) -> dict[str, Any]:
    """The report of a node whose GPUs nobody has cut up yet."""
    gpus = tuple(Gpu(f"GPU-{name}-{i}", name, i, MODEL.id, MODEL.memory_mib, mig=True) for i in range(EACH))
    report = NodeReport(name, "boot", 1, gpus, {MODEL.id: MODEL}, driver="580.65")
    at = datetime.now(UTC).isoformat()
    metadata = {"name": name, "uid": f"gpu-node-{name}", "resourceVersion": str(version), "creationTimestamp": _NOW}
    return {
        "metadata": metadata,
        "spec": {},
        "status": {"ready": True, "reported": at, "report": report_to_json(report)},
    }


def node(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "resourceVersion": str(version), "labels": {"zone": "a"}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "512", "memory": "4Ti"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": [f"registry.example.com/image-{n}"], "sizeBytes": 1 << 30} for n in range(50)],
        },
    }


def project(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"project-{name}", "resourceVersion": str(version), "creationTimestamp": _NOW}
    return {"metadata": metadata, "spec": {"quota": 500.0}}


def _owner(api: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "name": name, "uid": f"{kind.lower()}-uid", "controller": True}


def _managed(manager: str, fields: int) -> dict[str, Any]:
    """Who wrote which field: often the longest part of an object."""
    owned: dict[str, Any] = {f"f:field-{n}": {"f:x": {}} for n in range(fields)}
    return {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": _NOW, "fieldsV1": owned}


def _template(obj: dict[str, Any]) -> Template:
    return Template(msgspec.json.encode(obj).decode())
