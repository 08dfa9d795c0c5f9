"""Objects as people write them."""

from __future__ import annotations

from typing import Any

from tests.fakes.kubernetes_api.storage import Json


def pod_spec(**fields: Any) -> Json:
    limits = {"nvidia.com/gpu": fields.pop("gpus")} if "gpus" in fields else {}
    requests = fields.pop("requests", {})
    container = {
        "name": "main",
        "image": "busybox",
        "resources": {"limits": limits, "requests": {**limits, **requests}},
    }
    return {"containers": [container], "restartPolicy": "Never", "schedulerName": "runai-scheduler", **fields}


def pod(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    return {"metadata": {"name": name, "annotations": annotations or {}}, "spec": pod_spec(**fields)}


def job(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    own = {key: fields.pop(key) for key in ("parallelism", "completions", "backoffLimit", "suspend") if key in fields}
    template = {"metadata": {"annotations": annotations or {}, "labels": {"user": "ana"}}, "spec": pod_spec(**fields)}
    return {"metadata": {"name": name}, "spec": {**own, "template": template}}


def stateful_set(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    template = {"metadata": {"annotations": annotations or {}, "labels": {"app": name}}, "spec": pod_spec(**fields)}
    spec = {"replicas": 1, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def deployment(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    made = stateful_set(name, annotations, **fields)
    made["spec"].pop("serviceName")
    return made
