"""Sums and lookups over the records of pods and claims, updated with each change of a record."""

from __future__ import annotations

from collections import Counter

from migctl.backends.kubernetes.cache.newest import Key
from migctl.backends.kubernetes.meaning import requests
from migctl.backends.kubernetes.meaning.quantities import NodeResources
from migctl.backends.kubernetes.meaning.records import ClaimRecord, GpuPod, NonGpuPod

PodRecord = GpuPod | NonGpuPod


class PodIndex:
    """Per node: the CPU and memory that its pods reserve, and whether its agent's pods are ready; gangs' ended members.

    succeeded  pods of each gang that have ended well and still exist
    """

    def __init__(self) -> None:
        self._requests: dict[str, NodeResources] = {}
        self._agents: dict[str, dict[Key, bool]] = {}
        self.succeeded: Counter[tuple[str, str]] = Counter()

    def requests(self, node: str) -> NodeResources:
        """What the pods bound to a node reserve."""
        return self._requests.get(node, (0, 0))

    def agent_ready(self, node: str) -> bool | None:
        """Whether an agent's pod on the node is ready; None where no agent runs as a pod there."""
        agents = self._agents.get(node)
        return any(agents.values()) if agents else None

    def update(self, before: PodRecord | None, after: PodRecord | None) -> None:
        """Replace a pod's record; None where there is none."""
        if before is None or after is None or (before.node, before.requests) != (after.node, after.requests):
            self._add(before, -1)
            self._add(after, 1)
        self._count(before, -1)
        self._count(after, 1)
        if isinstance(before, NonGpuPod) and before.agent is not None:
            agents = self._agents.get(before.node, {})
            agents.pop((before.namespace, before.name), None)
            if not agents:
                self._agents.pop(before.node, None)
        if isinstance(after, NonGpuPod) and after.agent is not None:
            self._agents.setdefault(after.node, {})[after.namespace, after.name] = after.agent

    def _count(self, pod: PodRecord | None, sign: int) -> None:
        gang = requests.gang_of(pod) if isinstance(pod, GpuPod) and pod.phase == "Succeeded" else None
        if gang is not None:
            self.succeeded[gang] += sign
            if not self.succeeded[gang]:
                del self.succeeded[gang]

    def _add(self, pod: PodRecord | None, sign: int) -> None:
        if pod is None or not pod.node:
            return
        cpu, memory = self._requests.get(pod.node, (0, 0))
        rest = (cpu + sign * pod.requests[0], memory + sign * pod.requests[1])
        self._requests[pod.node] = rest
        if rest == (0, 0):
            del self._requests[pod.node]


class GpuHolders:
    """The claims that hold a part of each GPU."""

    def __init__(self) -> None:
        self._claims: dict[str, set[Key]] = {}

    def claims(self, gpu: str) -> frozenset[Key]:
        """Namespaces and names of the claims on a GPU, given by UUID."""
        return frozenset(self._claims.get(gpu, ()))

    def update(self, before: ClaimRecord | None, after: ClaimRecord | None) -> None:
        """Replace a claim's record; None where there is none."""
        if before is not None and before.grant is not None:
            for share in before.grant.devices:
                holders = self._claims.get(share.gpu, set())
                holders.discard((before.namespace, before.name))
                if not holders:
                    self._claims.pop(share.gpu, None)
        if after is not None and after.grant is not None:
            for share in after.grant.devices:
                self._claims.setdefault(share.gpu, set()).add((after.namespace, after.name))
