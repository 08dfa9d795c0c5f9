"""The Eviction API, which respects disruption budgets."""

from __future__ import annotations

from typing import Any

from migctl.backends.kubernetes.client.api import KubernetesApi
from migctl.backends.kubernetes.client.resources import PODS
from migctl.backends.kubernetes.meaning.records import GpuPod
from migctl.backends.protocol import Conflict, NotFound

LONGEST_GRACE_S = 3600
"""A pod may ask for any time to end in, and would keep its GPU for as long: an eviction grants no more than this."""


async def evict(api: KubernetesApi, pod: GpuPod) -> None:
    """Request a pod's eviction. Raises BudgetExhausted, NotFound."""
    options: dict[str, Any] = {"preconditions": {"uid": pod.uid}}
    if pod.grace_s > LONGEST_GRACE_S:
        options["gracePeriodSeconds"] = LONGEST_GRACE_S
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": options,
    }
    try:
        await api.create(PODS, body, pod.namespace, name=pod.name, subresource="eviction")
    except Conflict as error:
        raise NotFound(str(error)) from None
