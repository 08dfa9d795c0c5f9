"""migctl's manifests on the cluster, applied by the API server itself, and taken away again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import yaml

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.protocol import ControlPlaneError, NotFound
from tests.limits import WAIT_S

MANIFESTS = Path(__file__).parents[2] / "deploy" / "manifests"
PLURALS = {
    "CustomResourceDefinition": "customresourcedefinitions",
    "Namespace": "namespaces",
    "DeviceClass": "deviceclasses",
    "PriorityClass": "priorityclasses",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}
ELSEWHERE = ("controller.yaml", "api.yaml")
"""The controller and the REST API run as processes of the suite."""

Json = dict[str, Any]


def documents() -> list[Json]:
    """Everything that is applied, in the order of kustomization.yaml."""
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    files = [MANIFESTS / name for name in listed if name not in ELSEWHERE]
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def path(document: Json) -> str:
    api = document["apiVersion"]
    root = f"/apis/{api}" if "/" in api else f"/api/{api}"
    namespace = document["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{PLURALS[document['kind']]}/{document['metadata']['name']}"


async def install(api: KubernetesApi) -> None:
    await _until_removed(api)
    for document in documents():
        await api.transport.request(
            "PATCH",
            path(document),
            {"fieldManager": "migctl-test", "force": "true"},
            json.dumps(document).encode(),
            "application/apply-patch+yaml",
        )


async def _until_removed(api: KubernetesApi) -> None:
    """Wait for what an earlier run has removed to be gone: nothing is made in a namespace that ends."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            namespace = json.loads(await api.transport.request("GET", "/api/v1/namespaces/migctl-system"))
        except NotFound:
            return
        if "deletionTimestamp" not in namespace["metadata"]:
            return
        await asyncio.sleep(0.2)
    raise TimeoutError("the namespace migctl-system of an earlier run does not end: kubectl get namespace says why")


async def runs_already(api: KubernetesApi) -> bool:
    """Whether somebody uses migctl on this cluster."""
    try:
        deployment = json.loads(
            await api.transport.request("GET", "/apis/apps/v1/namespaces/migctl-system/deployments/migctl-controller")
        )
    except NotFound:
        return False
    return bool(deployment["spec"].get("replicas"))


async def uninstall(api: KubernetesApi) -> None:
    for document in reversed(documents()):
        with contextlib.suppress(ControlPlaneError):
            await api.transport.request("DELETE", path(document))
