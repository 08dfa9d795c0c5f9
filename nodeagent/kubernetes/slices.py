"""The node's devices as ResourceSlices: for people, dashboards and autoscalers.

Only migctl's controller allocates them: they have a taint that kube-scheduler does not tolerate, and the agent
refuses an allocation without migctl's own config. Instances that exist are listed, not every legal placement.
"""

from __future__ import annotations

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.wire import DRIVER
from nodeagent.kubernetes.client import Json
from nodeagent.kubernetes.devices import NodeDevice, devices

DEVICES_PER_SLICE = 64
"""The API server's limit for devices with taints."""

_OURS = {"key": "migctl.dev/allocated-by-migctl", "value": "only", "effect": "NoSchedule"}
_UNHEALTHY = {"key": "migctl.dev/unhealthy", "effect": "NoSchedule"}


def specs(report: NodeReport) -> list[Json]:
    """The specs of the node's slices, their pool's generation left out."""
    listed = [_device(device, report) for device in devices(report)]
    pages = [listed[i : i + DEVICES_PER_SLICE] for i in range(0, len(listed), DEVICES_PER_SLICE)] or [[]]
    pool = {"name": report.node, "resourceSliceCount": len(pages)}
    return [{"driver": DRIVER, "nodeName": report.node, "pool": pool, "devices": page} for page in pages]


def _device(device: NodeDevice, report: NodeReport) -> Json:
    gpu, model = device.gpu, report.models[device.gpu.model]
    attributes: Json = {
        "type": {"string": device.kind},
        "uuid": {"string": gpu.uuid},
        "index": {"int": gpu.index},
        "productName": {"string": model.product[:64]},
        "architecture": {"string": model.architecture},
        "mig": {"bool": gpu.mig},
        "simulated": {"bool": report.simulated},
    }
    if gpu.link_group is not None:
        attributes["linkGroup"] = {"int": gpu.link_group}
    if report.driver:
        attributes["driverVersion"] = {"string": report.driver}
    if device.instance is not None:
        attributes |= {
            "profile": {"string": device.instance.profile},
            "start": {"int": device.instance.start},
            "state": {"string": device.instance.state.value},
        }
        if device.instance.uuid:
            attributes["migUuid"] = {"string": device.instance.uuid}
    return {
        "name": device.name,
        "attributes": attributes,
        "capacity": {"memory": {"value": f"{device.memory_mib}Mi"}},
        "taints": [_OURS, _UNHEALTHY] if device.problem else [_OURS],
    }
