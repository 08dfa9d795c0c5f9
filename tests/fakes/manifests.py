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
        "imagePullPolicy": "Never",
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
    spec = pod_spec(**fields) | {"restartPolicy": "Always"}
    template = {"metadata": {"annotations": annotations or {}, "labels": {"app": name}}, "spec": spec}
    spec = {"replicas": 1, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def deployment(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    made = stateful_set(name, annotations, **fields)
    made["spec"].pop("serviceName")
    return made


def daemon_set(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    made = deployment(name, annotations, **fields)
    made["spec"].pop("replicas")
    return made


def cron_job(name: str, annotations: dict[str, str] | None = None, **fields: Any) -> Json:
    jobs = {"spec": job(name, annotations, **fields)["spec"]}
    return {"metadata": {"name": name}, "spec": {"schedule": "@daily", "jobTemplate": jobs}}


MAKERS = {
    "pods": pod,
    "jobs": job,
    "cronjobs": cron_job,
    "deployments": deployment,
    "statefulsets": stateful_set,
    "daemonsets": daemon_set,
}
