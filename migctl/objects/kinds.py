"""The kinds that a control plane stores, by their plural names, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from migctl.objects.access import AccessRule, AccessToken
from migctl.objects.events import Event
from migctl.objects.nodes import GpuNode
from migctl.objects.plans import PlacementPlan
from migctl.objects.queues import Department, NodePool, Project
from migctl.objects.workloads import Claim, Workload

Object = Project | Department | NodePool | Workload | Claim | GpuNode | PlacementPlan | Event | AccessRule | AccessToken
T = TypeVar("T", Project, Department, NodePool, Workload, Claim, GpuNode, PlacementPlan, Event, AccessRule, AccessToken)

KINDS: Mapping[str, type[Object]] = MappingProxyType(
    {
        kind.PLURAL: kind
        for kind in (
            Project,
            Department,
            NodePool,
            Workload,
            Claim,
            GpuNode,
            PlacementPlan,
            Event,
            AccessRule,
            AccessToken,
        )
    }
)


def singular(kind: type[Object]) -> str:
    """What messages and `-o name` call one object of the kind: "node"."""
    return kind.PLURAL.removesuffix("s")


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"cannot store a {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def encode(value: Any) -> bytes:
    """JSON of an object, or of anything made of objects."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """The object in a JSON text. Raises msgspec.ValidationError with the path of what is wrong."""
    return msgspec.json.decode(data, type=kind)


def to_builtins(value: Any) -> Any:
    """The JSON as dicts, lists and strings."""
    return msgspec.to_builtins(value, enc_hook=_plain)
