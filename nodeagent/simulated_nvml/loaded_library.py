"""A loaded library, on which the C functions work: the hardware, its handles, and what the process may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodeagent.contract import environment, limits_file
from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.handles import ComputeInstance, GpuDevice, GpuInstance, Handles, MigDevice
from nodeagent.simulated_nvml.hardware import JsonRecord, NvmlReturn, Refused, SimulatedHardware

Function = Callable[..., None]
CALLS: dict[str, Function] = {}


def call(*names: str) -> Callable[[Function], Function]:
    """Register a function under the C names it answers to."""

    def register(function: Function) -> Function:
        for name in names:
            CALLS[name] = function
        return function

    return register


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a process sees: the devices named (None: all) and, on shared GPUs, its limits in MiB.

    claim  whose processes it may see on a GPU where it has a limit
    """

    visible: frozenset[str] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    claim: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Visibility:
        """Of a process with these variables, as NVIDIA's container runtime and the fraction limit have it."""
        names = variables.get(environment.VISIBLE_DEVICES, "all")
        visible = None if names in ("", "all") else frozenset(n.strip() for n in names.split(",")) - {"none", "void"}
        limits = variables.get(environment.LIMITS, "")
        return cls(visible, limits_file.read(Path(limits)) if limits else {}, variables.get(environment.CLAIM, ""))


class LoadedLibrary:
    """One loaded library: state, handles and view."""

    def __init__(self, hardware: SimulatedHardware, view: Visibility) -> None:
        self.hardware = hardware
        self.view = view
        self.handles = Handles()

    def gpus(self) -> list[tuple[int, JsonRecord]]:
        """Visible GPUs with their minor numbers. A GPU is visible when one of its instances is."""
        everything = list(enumerate(self.hardware.now["gpus"]))
        if self.view.visible is None:
            return everything
        return [(n, g) for n, g in everything if g["uuid"] in self.view.visible or self.mig_devices(g)]

    def mig_devices(self, gpu: JsonRecord) -> list[MigDevice]:
        """Visible MIG devices in the order of their instances."""
        found = [
            MigDevice(gpu["uuid"], instance["gi"], compute["ci"], compute["uuid"])
            for instance in sorted(gpu["instances"], key=lambda i: i["gi"])
            for compute in instance["compute"]
        ]
        visible = self.view.visible
        return [d for d in found if visible is None or d.uuid in visible or d.gpu in visible]

    def device(self, handle: Any) -> GpuDevice | MigDevice:
        """The device of a handle. Raises Refused where it is no visible one."""
        target = self.handles.target(handle)
        if not isinstance(target, GpuDevice | MigDevice):
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        if isinstance(target, MigDevice) and target not in self.mig_devices(self.hardware.gpu(target.gpu)):
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        return target

    def gpu(self, handle: Any) -> JsonRecord:
        """The whole GPU of a device handle; a MIG device's handle is refused."""
        target = self.device(handle)
        if isinstance(target, MigDevice):
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        return self.hardware.gpu(target.gpu)

    def parent(self, handle: Any) -> tuple[JsonRecord, JsonRecord | None]:
        """The GPU of a device handle and, for a MIG device, its GPU instance."""
        target = self.device(handle)
        gpu = self.hardware.gpu(target.gpu)
        if isinstance(target, GpuDevice):
            return gpu, None
        return gpu, self.hardware.instance(target.gpu, target.gi)

    def gpu_instance(self, handle: Any) -> tuple[str, JsonRecord]:
        """GPU UUID and record of a GPU instance handle."""
        target = self.handles.target(handle)
        if not isinstance(target, GpuInstance):
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        instance = self.hardware.instance(target.gpu, target.gi)
        if instance["serial"] != target.serial:
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        return target.gpu, instance

    def compute_instance(self, handle: Any) -> ComputeInstance:
        """The compute instance of a handle. Raises Refused where it no longer exists."""
        target = self.handles.target(handle)
        if not isinstance(target, ComputeInstance):
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        instance = self.hardware.instance(target.gpu, target.gi)
        if target.uuid not in {c["uuid"] for c in instance["compute"]}:
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        return target

    def capacity_mib(self, gpu: JsonRecord, instance: JsonRecord | None) -> int:
        """Memory of an instance, or of a whole GPU, which the process's limit may lower."""
        total = processes.capacity_mib(gpu, instance)
        return total if instance else min(total, self.view.limits.get(gpu["uuid"], total))
