"""Kubernetes quantities of CPU and memory, as whole milli-CPUs and MiB."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from migctl.backends.kubernetes.client.pod_kinds import Container, PodSpec
from nodeagent.contract.units import MIB

_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+)?(m|u|n|k|[KMGTPE]i?)?")
_FACTORS: Mapping[str | None, Decimal] = {
    None: Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(1000),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("KMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}  # fmt: skip

NodeResources = tuple[int, int]
"""Milli-CPUs and MiB."""


@lru_cache(maxsize=4096)
def number(text: str) -> Decimal:
    """The number a quantity stands for; 0 for what the API server would not have let pass."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return Decimal(0)
    digits: str = match[1] + (match[2] or "")
    return Decimal(digits) * _FACTORS[match[3]]


def cpu_and_memory(resources: Mapping[str, Any] | None) -> NodeResources:
    """CPU, rounded up to milli-CPUs, and memory, rounded up to MiB."""
    if not resources:
        return 0, 0
    return _cpu_and_memory(str(resources.get("cpu", "0")), str(resources.get("memory", "0")))


@lru_cache(maxsize=4096)
def _cpu_and_memory(cpu: str, memory: str) -> NodeResources:
    return -int(-number(cpu) * 1000 // 1), -int(-number(memory) / MIB // 1)


def requested(spec: PodSpec) -> NodeResources:
    """What a pod reserves: all containers, or the largest step of its start, whichever is more, and the overhead.

    Init containers run one after another; those that restart (sidecars) stay beside what comes later.
    """
    sidecars, largest = (0, 0), (0, 0)
    for container in spec.init_containers or ():
        own = _of(container)
        if container.restart_policy == "Always":
            sidecars = _sum((sidecars, own))
            own = (0, 0)
        largest = _most(largest, _sum((sidecars, own)))
    together = _sum((sidecars, *(_of(container) for container in spec.containers or ())))
    return _sum((_most(together, largest), cpu_and_memory(spec.overhead)))


def _of(container: Container) -> NodeResources:
    return cpu_and_memory(container.resources.requests) if container.resources else (0, 0)


def _sum(many: Iterable[NodeResources]) -> NodeResources:
    cpus, memories = zip(*many, strict=True)
    return sum(cpus), sum(memories)


def _most(one: NodeResources, other: NodeResources) -> NodeResources:
    return max(one[0], other[0]), max(one[1], other[1])
