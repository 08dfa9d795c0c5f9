"""On real GPUs: a claim's device nodes beside what every container with a GPU needs.

A GPU is /dev/nvidiaN, N its minor number. A MIG instance is its GPU's node and two capability
devices, whose minors are below /proc/driver/nvidia/capabilities; majors are in
/proc/devices. With these numbers a node need not exist on the host yet. (NVIDIA's MIG user guide,
"Device nodes and capabilities".)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from nodeagent.cdi.edits import ContainerEdits, DeviceNode
from nodeagent.contract.allocation import Busy, Prepared, PreparedDevice, Unsupported
from nodeagent.nvml import GpuInfo, HardwareInstance, NvmlError
from solver.model.cluster import Backing

_GPU_MAJOR = 195  # since the first driver
_CONTROL_MINOR = 255
_MINOR = re.compile(r"^DeviceFileMinor:\s*(\d+)\s*$", re.MULTILINE)


class GpuReader(Protocol):
    """What is needed of NVML. Methods raise NvmlError."""

    def gpus(self) -> tuple[GpuInfo, ...]: ...
    def instances(self, info: GpuInfo) -> tuple[HardwareInstance, ...]: ...


class RealGpus:
    """Device nodes for claims. `common` returns all other edits, raising Unsupported; `proc` is the procfs."""

    def __init__(self, reader: GpuReader, common: Callable[[], ContainerEdits], proc: Path = Path("/proc")) -> None:
        self._reader, self._common, self._proc = reader, common, proc

    def check(self) -> None:
        self._common()
        self._major("nvidia-uvm")

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        try:
            infos = {info.uuid: info for info in self._reader.gpus()}
            nodes = [node for device in prepared.devices for node in self._nodes(infos[device.gpu], device)]
        except (NvmlError, KeyError) as e:
            raise Busy(f"cannot read the device nodes of claim {prepared.claim}: {e}") from e
        return edits + self._common() + ContainerEdits(device_nodes=(*self._control(), *nodes))

    def remove(self, claim: str) -> None:
        return

    def claims(self) -> Collection[str]:
        return ()

    def _control(self) -> Iterator[DeviceNode]:
        uvm = self._major("nvidia-uvm")
        yield _node("/dev/nvidiactl", _GPU_MAJOR, _CONTROL_MINOR)
        yield _node("/dev/nvidia-uvm", uvm, 0)
        yield _node("/dev/nvidia-uvm-tools", uvm, 1)

    def _nodes(self, info: GpuInfo, device: PreparedDevice) -> Iterator[DeviceNode]:
        yield _node(f"/dev/nvidia{info.minor}", _GPU_MAJOR, info.minor)
        if device.share.backing is not Backing.MIG:
            return
        instance = next((i for i in self._reader.instances(info) if i.uuid == device.uuid), None)
        if instance is None:
            raise Busy(f"MIG instance {device.uuid} no longer exists on GPU {info.uuid}")
        major = self._major("nvidia-caps")
        gi = self._proc / f"driver/nvidia/capabilities/gpu{info.minor}/mig/gi{instance.gi}"
        for access in (gi / "access", *(gi / f"ci{ci}" / "access" for ci in instance.compute)):
            minor = _minor(access)
            yield _node(f"/dev/nvidia-caps/nvidia-cap{minor}", major, minor)

    def _major(self, name: str) -> int:
        try:
            text = (self._proc / "devices").read_text(encoding="ascii")
        except OSError as e:
            raise Unsupported(f"cannot read {self._proc / 'devices'}: {e.strerror}") from e
        found = re.search(rf"^\s*(\d+) {re.escape(name)}$", text, re.MULTILINE)
        if found is None:
            raise Unsupported(f"the driver has no {name} devices: load them with `nvidia-modprobe -u -c 0` on the node")
        return int(found[1])


def _node(path: str, major: int, minor: int) -> DeviceNode:
    return DeviceNode(path=path, type="c", major=major, minor=minor, permissions="rw")


def _minor(access: Path) -> int:
    try:
        found = _MINOR.search(access.read_text(encoding="ascii"))
    except OSError as e:
        raise Busy(f"cannot read a capability: {access}: {e.strerror}") from e
    if found is None:
        raise Busy(f"{access} names no DeviceFileMinor")
    return int(found[1])
