"""Claims, read as they are now."""

from __future__ import annotations

from nodeagent.kubernetes.client import Json, KubernetesClient

_ROOT = "/apis/resource.k8s.io/v1"


def read_claim(api: KubernetesClient, namespace: str, name: str) -> Json:
    """Raises ApiError."""
    return api.get(f"{_ROOT}/namespaces/{namespace}/resourceclaims/{name}")
