"""ResourceClaims, read as they are now."""

from __future__ import annotations

from nodeagent.kubernetes.client import Json, KubernetesClient

RESOURCE_API = "resource.k8s.io/v1"


def read_claim(client: KubernetesClient, namespace: str, name: str) -> Json:
    """Raises ApiError."""
    return client.get(f"/apis/{RESOURCE_API}/namespaces/{namespace}/resourceclaims/{name}")
