"""MIG through NVML: mode, instances, creation and destruction.

NVML has two id spaces: profile information is read by enum, creation and placements take the `id` found in that
information. Instance handles are not cached, since instances come and go.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from nodeagent.nvml.errors import NvmlError, NvmlNotFound, checked, error_for
from nodeagent.nvml.facts import GpuInfo, HardwareInstance, MigMode
from nodeagent.nvml.memory_limits import MemoryLimits
from solver.model.geometry import Profile

# compute slices -> compute instance profile (nvml.h); C = G is the only kind we create
_COMPUTE_PROFILES = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4, 8: 5, 6: 6}


class Nvml(MemoryLimits):
    """An open NVML with its MIG side."""

    def __init__(self, library: object | None = None) -> None:
        super().__init__(library)
        self._known_devices: dict[str, dict[str, _MigDevice]] = {}

    @checked
    def mig_mode(self, gpu: str) -> MigMode | None:
        """None where the GPU has no MIG."""
        try:
            current, pending = self._nvml.nvmlDeviceGetMigMode(self._device(gpu))
        except self._nvml.NVMLError_NotSupported:
            return None
        return MigMode(bool(current), bool(pending))

    @checked
    def set_mig_mode(self, gpu: str, on: bool) -> MigMode:
        """Set the mode; returns what it is now and will be. Needs an idle GPU and CAP_SYS_ADMIN."""
        status = self._nvml.nvmlDeviceSetMigMode(self._device(gpu), int(on))
        self.forget(gpu)  # the driver may have reset the GPU
        if status:
            raise error_for(status, "set mig mode: activation failed")
        current, pending = self._nvml.nvmlDeviceGetMigMode(self._device(gpu))
        return MigMode(bool(current), bool(pending))

    @checked
    def instances(self, gpu_info: GpuInfo) -> tuple[HardwareInstance, ...]:
        """Every GPU instance, those without a compute instance included, by start.

        Raises NvmlError where one belongs to no profile that the driver named.
        """
        mig = self._mig_devices(gpu_info.uuid)
        found = []
        for profile in self.model(gpu_info).profiles:
            for handle in self._gpu_instances(gpu_info.uuid, profile):
                info = self._nvml.nvmlGpuInstanceGetInfo(handle)
                mine = [m for m in mig if m.gi == info.id]
                if not mine:
                    self._refuse_hidden(handle, profile)
                uuid = mine[0].uuid if len(mine) == 1 and mine[0].whole else None
                compute = tuple(m.ci for m in mine)
                placement = info.placement
                found.append(HardwareInstance(info.id, profile.name, placement.start, placement.size, compute, uuid))
        if {m.gi for m in mig} - {i.gi for i in found}:
            raise NvmlError("the driver shows an instance of a profile that it did not name: restart the agent")
        return tuple(sorted(found, key=lambda i: i.start))

    def _refuse_hidden(self, instance: Any, profile: Profile) -> None:
        """A GPU instance without a MIG device has no compute instance; else we read while it changed."""
        n = self._nvml
        count = ctypes.c_uint(0)
        array = (n.c_nvmlComputeInstance_t * profile.slices)()
        kind = n.nvmlGpuInstanceGetComputeInstanceProfileInfo(
            instance, _COMPUTE_PROFILES[profile.slices], n.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
        )
        n.nvmlGpuInstanceGetComputeInstances(instance, kind.id, array, ctypes.byref(count))
        if count.value:
            raise NvmlError("instances changed while they were read: read again")

    def _gpu_instances(self, gpu: str, profile: Profile) -> list[Any]:
        n = self._nvml
        count = ctypes.c_uint(0)
        array = (n.c_nvmlGpuInstance_t * profile.max_count)()
        n.nvmlDeviceGetGpuInstances(self._device(gpu), profile.board_id, array, ctypes.byref(count))
        return list(array[: count.value])

    def _mig_devices(self, gpu: str) -> list[_MigDevice]:
        """What a UUID stands for never changes: a device that was found before is not read again."""
        n = self._nvml
        device = self._device(gpu)
        known = self._known_devices.get(gpu, {})
        found = {}
        for index in range(n.nvmlDeviceGetMaxMigDeviceCount(device)):
            try:
                mig = n.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
            except n.NVMLError_NotFound:
                continue
            uuid = str(n.nvmlDeviceGetUUID(mig))
            found[uuid] = known.get(uuid) or self._mig_device(mig, uuid)
        self._known_devices[gpu] = found
        return list(found.values())

    def _mig_device(self, mig: Any, uuid: str) -> _MigDevice:
        n = self._nvml
        slices = n.nvmlDeviceGetAttributes_v2(mig)
        gi, ci = n.nvmlDeviceGetGpuInstanceId(mig), n.nvmlDeviceGetComputeInstanceId(mig)
        return _MigDevice(gi, ci, uuid, slices.computeInstanceSliceCount == slices.gpuInstanceSliceCount)

    @checked
    def mig_device(self, uuid: str) -> int:
        """The GPU instance id of a live MIG device. Raises NvmlNotFound."""
        return int(self._nvml.nvmlDeviceGetGpuInstanceId(self._nvml.nvmlDeviceGetHandleByUUID(uuid)))

    @checked
    def create_gpu_instance(self, gpu_info: GpuInfo, profile: Profile, start: int) -> int:
        """Returns its id. Raises InsufficientResources where something overlaps."""
        n = self._nvml
        placement = n.c_nvmlGpuInstancePlacement_t(start, profile.size)
        handle = n.nvmlDeviceCreateGpuInstanceWithPlacement(
            self._device(gpu_info.uuid), profile.board_id, ctypes.byref(placement)
        )
        return int(n.nvmlGpuInstanceGetInfo(handle).id)

    @checked
    def create_compute_instance(self, gpu_info: GpuInfo, gi: int, profile: Profile) -> str:
        """The one compute instance that spans the GPU instance. Returns the MIG device's UUID."""
        n = self._nvml
        handle = n.nvmlDeviceGetGpuInstanceById(self._device(gpu_info.uuid), gi)
        kind = n.nvmlGpuInstanceGetComputeInstanceProfileInfo(
            handle, _COMPUTE_PROFILES[profile.slices], n.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
        )
        n.nvmlGpuInstanceCreateComputeInstance(handle, kind.id)
        for mig in self._mig_devices(gpu_info.uuid):
            if mig.gi == gi:
                return mig.uuid
        raise NvmlNotFound(f"GPU instance {gi} has no MIG device after its creation")

    @checked
    def destroy_compute_instance(self, gpu: str, gi: int, ci: int) -> None:
        """Raises InUse while a process runs in it."""
        n = self._nvml
        instance = n.nvmlDeviceGetGpuInstanceById(self._device(gpu), gi)
        n.nvmlComputeInstanceDestroy(n.nvmlGpuInstanceGetComputeInstanceById(instance, ci))

    @checked
    def destroy_gpu_instance(self, gpu: str, gi: int) -> None:
        """Raises InUse while it has a compute instance."""
        self._nvml.nvmlGpuInstanceDestroy(self._nvml.nvmlDeviceGetGpuInstanceById(self._device(gpu), gi))


@dataclass(frozen=True, slots=True)
class _MigDevice:
    """`whole`: its compute instance spans its GPU instance."""

    gi: int
    ci: int
    uuid: str
    whole: bool
