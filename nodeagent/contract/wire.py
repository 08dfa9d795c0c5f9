"""How reports and allocations travel through the Kubernetes API: JSON with camelCase keys.

A report is `status.report` of a GpuNode. An allocation is `status.allocation` of a ResourceClaim:
its results name devices for people and other tools, and the driver's opaque config carries the
shares themselves, which is what the agent reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from nodeagent.contract import holders
from nodeagent.contract.allocation import Allocation, NodeReport
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant

DRIVER = "gpu.migctl.dev"
API_GROUP = "migctl.dev"
API_VERSION = f"{API_GROUP}/v1alpha1"
SHARES = "Shares"
REQUEST = "gpu"
"""The name of the one request in the template of pods with one container that uses GPUs."""
CONTAINER_REQUESTS = tuple(f"{REQUEST}-{number}" for number in range(8))
"""The names of the requests in the template of pods with several such containers: one each, in order.

A request that no container names has no results, which Kubernetes accepts.
"""

_CAMEL = re.compile(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)+")
_CAPITAL = re.compile(r"[A-Z]")
_SNAKE = re.compile(r"_([a-z0-9])")


class NotOurs(ValueError):
    """The JSON is no allocation of ours. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class AllocatedDevice:
    """A device as an allocation names it: for which request of the claim, in which pool."""

    request: str
    pool: str
    name: str


def report_to_json(report: NodeReport) -> dict[str, Any]:
    """A report as `status.report` of a GpuNode."""
    return camel_names(msgspec.to_builtins(holders.by_claims(report), enc_hook=_plain))


def camel_names(json: Mapping[str, Any]) -> dict[str, Any]:
    """The same JSON with camelCase keys."""
    renamed: dict[str, Any] = _rename(json, camel_case)
    return renamed


def report_from_json(json: Any) -> NodeReport:
    """Raises msgspec.ValidationError with the path of what is wrong."""
    return msgspec.convert(_rename(json, _to_snake), NodeReport)


def allocation_to_json(
    grant: Grant, device_name: Callable[[DeviceShare], str], at: datetime, requests: Sequence[str] = ()
) -> dict[str, Any]:
    """`status.allocation` for a grant.

    at        becomes the allocationTimestamp (whole seconds)
    requests  which request of the claim each device is for; (): it has one only
    """
    requests = requests or [REQUEST] * len(grant.devices)
    names = [device_name(share) for share in grant.devices]
    shares = [{"device": name, **_share_to_json(share)} for name, share in zip(names, grant.devices, strict=True)]
    parameters = {"apiVersion": API_VERSION, "kind": SHARES, "devices": shares}
    return {
        "allocationTimestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "devices": {
            "results": [
                {"request": request, "driver": DRIVER, "pool": grant.node, "device": name}
                for request, name in zip(requests, names, strict=True)
            ],
            "config": [
                {
                    "source": "FromClaim",
                    "requests": list(dict.fromkeys(requests)),
                    "opaque": {"driver": DRIVER, "parameters": parameters},
                }
            ],
        },
        "nodeSelector": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [grant.node]}]}]
        },
    }


def grant_from_json(allocation: Mapping[str, Any]) -> Grant:
    """The grant in a `status.allocation`. Raises NotOurs."""
    devices = allocation.get("devices") or {}
    pools = {r.get("pool") for r in devices.get("results") or () if r.get("driver") == DRIVER}
    if len(pools) != 1:
        raise NotOurs(f"the allocation has results of {len(pools)} pools for driver {DRIVER}; one is needed")
    return Grant(str(pools.pop()), tuple(_share_from_json(share) for share in _shares(allocation)))


def _shares(allocation: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    for config in (allocation.get("devices") or {}).get("config") or ():
        opaque = config.get("opaque") or {}
        parameters = opaque.get("parameters") or {}
        if opaque.get("driver") == DRIVER and parameters.get("kind") == SHARES:
            return parameters.get("devices") or ()
    raise NotOurs(f"the allocation has no config of kind {SHARES} for driver {DRIVER}")


def allocation_from_json(claim: Mapping[str, Any]) -> Allocation:
    """The allocation in a ResourceClaim. Raises NotOurs.

    The name is the pod's, from the claim's owner reference.
    """
    metadata = claim["metadata"]
    allocation = (claim.get("status") or {}).get("allocation")
    if not allocation:
        raise NotOurs("the claim is not allocated")
    grant = grant_from_json(allocation)
    pods = [owner["name"] for owner in metadata.get("ownerReferences") or () if owner.get("kind") == "Pod"]
    return Allocation(
        claim=metadata["uid"],
        name=pods[0] if pods else metadata["name"],
        project=metadata.get("namespace", ""),
        node=grant.node,
        devices=grant.devices,
    )


def allocated_devices(claim: Mapping[str, Any]) -> tuple[AllocatedDevice, ...]:
    """Our devices among an allocated claim's results. Raises NotOurs where the shares are not about the same ones."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results = [r for r in (allocation.get("devices") or {}).get("results") or () if r.get("driver") == DRIVER]
    shares = [share.get("device") for share in _shares(allocation)]
    if [r.get("device") for r in results] != shares:
        raise NotOurs(f"its shares are about {shares}, its results name {[r.get('device') for r in results]}")
    return tuple(AllocatedDevice(r["request"], r["pool"], r["device"]) for r in results)


def allocations_by_request(claim: Mapping[str, Any]) -> dict[str, Allocation]:
    """What each request of a ResourceClaim was given: the allocation of its own holder. Raises NotOurs."""
    whole, devices = allocation_from_json(claim), allocated_devices(claim)
    requests = dict.fromkeys(device.request for device in devices)
    if len(requests) == 1:
        return dict.fromkeys(requests, whole)
    return {
        request: replace(
            whole,
            claim=holders.holder(whole.claim, request),
            devices=tuple(
                share for device, share in zip(devices, whole.devices, strict=True) if device.request == request
            ),
        )
        for request in requests
    }


def device_name(index: int, share: DeviceShare) -> str:
    """An RFC 1123 label for people: "gpu-0", "gpu-0-2g-10gb-4" (profile and first unit), "gpu-0-share"."""
    if share.backing is Backing.WHOLE:
        return f"gpu-{index}"
    if share.backing is Backing.MIG:
        profile = re.sub(r"[^a-z0-9]+", "-", (share.profile or "").lower())
        return f"gpu-{index}-{profile}-{share.start}"
    return f"gpu-{index}-share"


def _share_to_json(share: DeviceShare) -> dict[str, Any]:
    fields = _rename(msgspec.to_builtins(share), camel_case)
    return {key: value for key, value in fields.items() if value is not None}


def _share_from_json(json: Mapping[str, Any]) -> DeviceShare:
    try:
        return msgspec.convert(_rename(json, _to_snake), DeviceShare)
    except msgspec.ValidationError as error:
        raise NotOurs(f"a share of the allocation cannot be read: {error}") from None


def _rename(value: Any, name: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name(key): _rename(nested, name) for key, nested in value.items()}
    if isinstance(value, list | tuple):
        return [_rename(nested, name) for nested in value]
    return value


def camel_case(key: str) -> str:
    """snake_case -> snakeCase."""
    return _SNAKE.sub(lambda match: match[1].upper(), key)


def _to_snake(key: str) -> str:
    """Field names only: keys of maps (GPU UUIDs, model ids) are no camelCase words and stay."""
    return _CAPITAL.sub(lambda match: "_" + match[0].lower(), key) if _CAMEL.fullmatch(key) else key


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot write a {type(value).__name__}")
