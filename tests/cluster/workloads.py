"""Workloads as people write them, for images that have a shell and little else."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
# Whoever is told to stop has not completed: a Job whose evicted pod exits with 0 is done.
FOREVER = "trap 'exit 143' TERM; sleep 100000 & wait"


def template(image: str, script: str, annotations: dict[str, str], gpus: int = 0, **spec: Any) -> Json:
    container: Json = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
    }
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": gpus}}
    return {
        "metadata": {"annotations": annotations, "labels": {"user": "ana"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def job(
    name: str,
    image: str,
    annotations: dict[str, str] | None = None,
    *,
    script: str = FOREVER,
    gpus: int = 0,
    **spec: Any,
) -> Json:
    made = template(image, script, annotations or {}, gpus, restartPolicy="Never", schedulerName="runai-scheduler")
    return {"metadata": {"name": name}, "spec": {**spec, "template": made}}


def stateful_set(name: str, image: str, annotations: dict[str, str] | None = None, *, gpus: int = 0) -> Json:
    made = template(image, FOREVER, annotations or {}, gpus)
    made["metadata"]["labels"]["app"] = name
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": made},
    }
