"""GPUs through NVML: identity, models, processes, readings, errors.

Device handles are cached by UUID: a look-up can take seconds on a busy driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from nodeagent.contract.units import MIB
from nodeagent.nvml.bindings import give_back, load
from nodeagent.nvml.errors import checked
from nodeagent.nvml.facts import GpuInfo, Process, Readings, XidError
from solver.model.geometry import Engines, GpuModel, Profile

R = TypeVar("R")

_NO_INSTANCE = 0xFFFFFFFF
_ARCHITECTURES = {4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere", 8: "Ada", 9: "Hopper", 10: "Blackwell"}
_AMPERE = "Ampere"


class Devices:
    """An open NVML. Thread-safe. Raises LibraryMissing where there is none.

    library  behind pynvml instead of libnvidia-ml.so.1; None: that one
    """

    def __init__(self, library: object | None = None) -> None:
        self._nvml: Any = load(library)
        self._is_copy = library is not None
        self._devices: dict[str, Any] = {}
        self._models: dict[str, GpuModel] = {}
        self._lock = threading.Lock()
        self._open()

    @checked
    def _open(self) -> None:
        self._nvml.nvmlInit()

    def close(self) -> None:
        """Shut NVML down; nothing may be called afterwards."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()
        if self._is_copy:
            give_back(self._nvml)

    @checked
    def driver_version(self) -> str:
        """For example "580.159.04"."""
        return str(self._nvml.nvmlSystemGetDriverVersion())

    @checked
    def cuda_version(self) -> tuple[int, int]:
        """Major and minor version that the driver supports."""
        number = int(self._nvml.nvmlSystemGetCudaDriverVersion_v2())
        return number // 1000, number % 1000 // 10

    @checked
    def count(self) -> int:
        """How many GPUs there are."""
        return int(self._nvml.nvmlDeviceGetCount())

    def gpus(self) -> tuple[GpuInfo, ...]:
        """Every GPU, in NVML's order."""
        return tuple(self.gpu(i) for i in range(self.count()))

    @checked
    def gpu(self, index: int) -> GpuInfo:
        """The GPU at an index of NVML."""
        n = self._nvml
        device = n.nvmlDeviceGetHandleByIndex(index)
        uuid = str(n.nvmlDeviceGetUUID(device))
        with self._lock:
            self._devices[uuid] = device
        reserved = self._optional(lambda: n.nvmlDeviceGetMemoryInfo(device, version=n.nvmlMemory_v2).reserved)
        return GpuInfo(
            uuid=uuid,
            index=index,
            minor=n.nvmlDeviceGetMinorNumber(device),
            name=str(n.nvmlDeviceGetName(device)),
            architecture=_ARCHITECTURES.get(n.nvmlDeviceGetArchitecture(device), "newer"),
            memory_mib=n.nvmlDeviceGetMemoryInfo(device).total // MIB,
            bus_id=str(n.nvmlDeviceGetPciInfo(device).busId),
            reserved_mib=-(-(reserved or 0) // MIB),
        )

    def _device(self, gpu: str) -> Any:
        with self._lock:
            device = self._devices.get(gpu)
        if device is None:
            device = self._nvml.nvmlDeviceGetHandleByUUID(gpu)
            with self._lock:
                self._devices[gpu] = device
        return device

    def forget(self, gpu: str) -> None:
        """Drop the GPU's handle: one from before a reset is invalid."""
        with self._lock:
            self._devices.pop(gpu, None)

    @checked
    def linked(self, gpu: str, other: str) -> bool:
        """Whether two GPUs can use NVLink between them, through a switch too."""
        n = self._nvml
        status = n.nvmlDeviceGetP2PStatus(self._device(gpu), self._device(other), n.NVML_P2P_CAPS_INDEX_NVLINK)
        return bool(status == n.NVML_P2P_STATUS_OK)

    @checked
    def model(self, gpu_info: GpuInfo) -> GpuModel:
        """The GPU's model with its live profile table; readable with MIG off."""
        with self._lock:
            known = self._models.get(gpu_info.uuid)
        if known is None:
            known = self._read_model(gpu_info)
            with self._lock:
                self._models[gpu_info.uuid] = known
        return known

    def _read_model(self, gpu_info: GpuInfo) -> GpuModel:
        profiles = tuple(self._read_profiles(self._device(gpu_info.uuid)))
        full = max((p for p in profiles if not p.variant), key=lambda p: p.size, default=None)
        return GpuModel(
            id=model_id(gpu_info.name),
            product=gpu_info.name,
            architecture=gpu_info.architecture,
            memory_mib=gpu_info.memory_mib,
            units=max((s + p.size for p in profiles for s in p.starts), default=0),
            slices=full.slices if full else 0,
            profiles=profiles,
            engines=full.engines if full else None,
            mig_mode_needs_reset=bool(profiles) and gpu_info.architecture == _AMPERE,
        )

    def _read_profiles(self, device: Any) -> Iterator[Profile]:
        n = self._nvml
        for number in range(n.NVML_GPU_INSTANCE_PROFILE_COUNT):
            # A profile that is left out hides its instances, so an error is believed only twice.
            found = self._profile(device, number) or self._profile(device, number)
            if found is not None:
                info, placements = found
                yield Profile(
                    name=str(info.name).removeprefix("MIG ").strip(),
                    enum=number,
                    board_id=info.id,
                    slices=info.sliceCount,
                    size=placements[0][1],
                    starts=tuple(sorted(start for start, _ in placements)),
                    memory_mib=info.memorySizeMB,
                    max_count=info.instanceCount,
                    multiprocessors=info.multiprocessorCount or None,
                    engines=Engines(info.decoderCount, info.jpegCount, info.ofaCount),
                )

    def _profile(self, device: Any, number: int) -> tuple[Any, list[tuple[int, int]]] | None:
        """Information about a profile, and its placements; None where the GPU does not have it."""
        n = self._nvml
        try:
            info = n.nvmlDeviceGetGpuInstanceProfileInfo(device, number)
            placements = self._placements(device, info.id)
        except (n.NVMLError_NotSupported, n.NVMLError_InvalidArgument):
            return None
        return (info, placements) if placements else None

    def _placements(self, device: Any, profile_id: int) -> list[tuple[int, int]]:
        """(start, size) of every placement: the first call gets the count, the second the array."""
        n = self._nvml
        count = ctypes.c_uint(0)
        n.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, None, ctypes.byref(count))
        array = (n.c_nvmlGpuInstancePlacement_t * count.value)()
        n.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, array, ctypes.byref(count))
        return [(p.start, p.size) for p in array[: count.value]]

    @checked
    def processes(self, gpu: str) -> tuple[Process, ...]:
        """Compute and graphics processes of the whole GPU, each instance once."""
        n = self._nvml
        device = self._device(gpu)
        found = {}
        for p in (*n.nvmlDeviceGetComputeRunningProcesses(device), *n.nvmlDeviceGetGraphicsRunningProcesses(device)):
            gi = None if p.gpuInstanceId in (None, _NO_INSTANCE) else int(p.gpuInstanceId)
            found[p.pid, gi] = Process(p.pid, (p.usedGpuMemory or 0) // MIB, gi)
        return tuple(found.values())

    @checked
    def launching(self, gpu: str, since_us: int) -> set[int] | None:
        """Pids that ran kernels after a time (microseconds since 1970); None where the driver does not say."""
        n = self._nvml
        try:
            samples = n.nvmlDeviceGetProcessUtilization(self._device(gpu), since_us)
        except n.NVMLError_NotFound:
            return set()
        except (n.NVMLError_NotSupported, n.NVMLError_FunctionNotFound):
            return None
        return {int(sample.pid) for sample in samples if sample.smUtil}

    @checked
    def readings(self, gpu: str) -> Readings:
        """What the sensors say now."""
        n, device = self._nvml, self._device(gpu)
        rows = self._optional(lambda: n.nvmlDeviceGetRemappedRows(device))
        usage = self._optional(lambda: n.nvmlDeviceGetUtilizationRates(device).gpu)
        milliwatts = self._optional(lambda: n.nvmlDeviceGetPowerUsage(device))
        return Readings(
            used_mib=n.nvmlDeviceGetMemoryInfo(device).used // MIB,
            utilization=None if usage is None else usage / 100,
            celsius=self._optional(lambda: n.nvmlDeviceGetTemperature(device, n.NVML_TEMPERATURE_GPU)),
            slowdown_celsius=self._optional(
                lambda: n.nvmlDeviceGetTemperatureThreshold(device, n.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
            ),
            power_w=None if milliwatts is None else milliwatts / 1000,
            ecc_uncorrected=self._optional(
                lambda: n.nvmlDeviceGetTotalEccErrors(device, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, n.NVML_VOLATILE_ECC)
            ),
            remap_failed=bool(rows and rows[3]),
            recovery=self._recovery(device),
        )

    def _recovery(self, device: Any) -> int:
        n = self._nvml
        fields = self._optional(lambda: n.nvmlDeviceGetFieldValues(device, [n.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION]))
        return int(fields[0].value.uiVal) if fields and fields[0].nvmlReturn == n.NVML_SUCCESS else 0

    def _optional(self, read: Callable[[], R]) -> R | None:
        """A reading, or None where the GPU does not have it."""
        n = self._nvml
        try:
            return read()
        except (n.NVMLError_NotSupported, n.NVMLError_FunctionNotFound, n.NVMLError_NoPermission):
            return None

    @checked
    def watch_errors(self, gpus: Sequence[str]) -> object:
        """A watch over the GPUs' errors, for `next_error`. GPUs without events are left out."""
        n = self._nvml
        watch = n.nvmlEventSetCreate()
        for gpu in gpus:
            device = self._device(gpu)
            self._optional(
                functools.partial(n.nvmlDeviceRegisterEvents, device, n.nvmlEventTypeXidCriticalError, watch)
            )
        return watch

    @checked
    def next_error(self, watch: object, seconds: float) -> XidError | None:
        """The next error, or None when none comes in time."""
        n = self._nvml
        try:
            event = n.nvmlEventSetWait(watch, int(seconds * 1000))
        except n.NVMLError_Timeout:
            return None
        return XidError(str(n.nvmlDeviceGetUUID(event.device)), int(event.eventData))

    @checked
    def end_watch(self, watch: object) -> None:
        """Close a watch."""
        self._nvml.nvmlEventSetFree(watch)


def model_id(product: str) -> str:
    """A GPU's product name as a model id: "NVIDIA H100 80GB HBM3" -> "H100-80GB-HBM3"."""
    return product.removeprefix("NVIDIA ").removeprefix("Tesla ").replace(" ", "-")
