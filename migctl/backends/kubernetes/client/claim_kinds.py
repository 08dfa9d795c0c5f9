"""The fields of a ResourceClaim (resource.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from migctl.backends.kubernetes.client.kinds import Metadata, WireStruct


class ExactRequest(WireStruct, frozen=True):
    """An entry of spec.devices.requests: its class."""

    device_class_name: str = ""


class DeviceRequest(WireStruct, frozen=True):
    """An entry of spec.devices.requests."""

    exactly: ExactRequest | None = None


class DeviceClaim(WireStruct, frozen=True):
    """`spec.devices`."""

    requests: tuple[DeviceRequest, ...] | None = None


class ResourceClaimSpec(WireStruct, frozen=True):
    devices: DeviceClaim = DeviceClaim()


class Consumer(WireStruct, frozen=True):
    """An entry of status.reservedFor: a pod that uses the claim."""

    resource: str = ""
    name: str = ""
    uid: str = ""


class ResourceClaimStatus(WireStruct, frozen=True):
    """`status`. The allocation stays as JSON, see nodeagent.contract.wire."""

    allocation: dict[str, Any] | None = None
    reserved_for: tuple[Consumer, ...] | None = None


class ResourceClaim(WireStruct, frozen=True):
    metadata: Metadata
    spec: ResourceClaimSpec = ResourceClaimSpec()
    status: ResourceClaimStatus = ResourceClaimStatus()

    @property
    def classes(self) -> set[str]:
        """The device classes of its requests."""
        return {r.exactly.device_class_name for r in self.spec.devices.requests or () if r.exactly is not None}
