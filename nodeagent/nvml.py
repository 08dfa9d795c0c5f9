"""The one module that talks to pynvml: typed facts in, NVML errors out as our own.

NvmlError                  any other return code; `code` is NVML's
├── LibraryMissing         no libnvidia-ml.so.1, or no driver behind it
├── NotFound               no such GPU or instance (any more)
├── NotSupported           this GPU, driver or MIG mode does not do it
├── NotPermitted           needs CAP_SYS_ADMIN
├── InUse                  a process holds it
├── NoRoom                 no free placement (also: exactly that instance exists already)
├── Lost                   the GPU fell off the bus or must be reset
└── TimedOut               nothing happened in time

NVML has two id spaces: profile information is asked for by enum, creation and placements by
the `id` found in that information; only this module knows. Device handles are cached by UUID,
since looking one up can take seconds on a busy driver; instance handles are not, since
instances come and go.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from solver.model.geometry import Engines, GpuModel, Profile

P = ParamSpec("P")
R = TypeVar("R")

_MIB = 1 << 20
_NO_INSTANCE = 0xFFFFFFFF
_ARCHITECTURES = {4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere", 8: "Ada", 9: "Hopper", 10: "Blackwell"}
_AMPERE = "Ampere"
# compute slices -> compute instance profile (nvml.h); C = G is the only kind we make
_COMPUTE_PROFILES = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4, 8: 5, 6: 6}


class NvmlError(Exception):
    """NVML refused. The text names the call and the reason."""

    def __init__(self, message: str, code: int = 999) -> None:
        super().__init__(message)
        self.code = code


class LibraryMissing(NvmlError):
    pass


class NotFound(NvmlError):
    pass


class NotSupported(NvmlError):
    pass


class NotPermitted(NvmlError):
    pass


class InUse(NvmlError):
    pass


class NoRoom(NvmlError):
    pass


class Lost(NvmlError):
    pass


class TimedOut(NvmlError):
    pass


_ERRORS: dict[int, type[NvmlError]] = {
    3: NotSupported, 4: NotPermitted, 6: NotFound, 9: LibraryMissing, 10: TimedOut, 12: LibraryMissing,
    13: NotSupported, 15: Lost, 16: Lost, 18: LibraryMissing, 19: InUse, 23: NoRoom,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Board:
    """A GPU's lasting facts. `bus_id` as the driver writes it: 00000000:07:00.0."""

    uuid: str
    index: int
    minor: int
    name: str
    architecture: str
    memory_mib: int
    bus_id: str


@dataclass(frozen=True, slots=True)
class MigMode:
    current: bool
    pending: bool


@dataclass(frozen=True, slots=True)
class HardwareInstance:
    """A GPU instance as the driver has it.

    uuid     of its one compute instance that spans it; None where it has none (a half-made
             one) or another kind of split (somebody else's)
    compute  ids of its compute instances
    """

    gi: int
    profile: str
    start: int
    size: int
    compute: tuple[int, ...]
    uuid: str | None


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU; `gi` is its GPU instance where MIG is on."""

    pid: int
    memory_mib: int
    gi: int | None


def _checked(function: Callable[P, R]) -> Callable[P, R]:
    """Turn pynvml's errors into ours."""

    @functools.wraps(function)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except Exception as e:
            code = getattr(e, "value", None)
            if not isinstance(code, int) or type(e).__module__.split("_")[0] != "pynvml":
                raise
            what = function.__name__.replace("_", " ").strip()
            raise _ERRORS.get(code, NvmlError)(f"{what}: {e} (NVML code {code})", code) from e

    return wrapper


_copies = itertools.count(1)
_spare: list[ModuleType] = []


def bindings(library: object | None) -> ModuleType:
    """The module pynvml, or a copy of it of our own with `library` behind it.

    pynvml keeps its library in a module variable; a copy keeps two nodes in one process apart.
    """
    if library is None:
        import pynvml

        shared: ModuleType = pynvml
        return shared
    copy: Any = _spare.pop() if _spare else _copy()
    copy._nvmlGetFunctionPointer_cache.clear()
    copy.nvmlLib = library
    module: ModuleType = copy
    return module


def _copy() -> ModuleType:
    found = importlib.util.find_spec("pynvml")
    assert found is not None
    assert found.origin is not None
    spec = importlib.util.spec_from_file_location(f"pynvml_{next(_copies)}", found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # pynvml looks itself up there while it loads
    spec.loader.exec_module(module)
    return module


class Nvml:
    """An open NVML. Thread-safe. Raises LibraryMissing where there is none.

    library  what stands behind pynvml instead of libnvidia-ml.so.1
    """

    def __init__(self, library: object | None = None) -> None:
        self._nvml: Any = bindings(library)
        self._is_copy = library is not None
        self._devices: dict[str, Any] = {}
        self._models: dict[str, GpuModel] = {}
        self._lock = threading.Lock()
        self._open()

    @_checked
    def _open(self) -> None:
        self._nvml.nvmlInit()

    def close(self) -> None:
        """Let go of NVML; nothing may be called afterwards."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()
        if self._is_copy:
            _spare.append(self._nvml)

    @_checked
    def driver_version(self) -> str:
        return str(self._nvml.nvmlSystemGetDriverVersion())

    @_checked
    def cuda_version(self) -> tuple[int, int]:
        number = int(self._nvml.nvmlSystemGetCudaDriverVersion_v2())
        return number // 1000, number % 1000 // 10

    @_checked
    def count(self) -> int:
        """How many GPUs there are."""
        return int(self._nvml.nvmlDeviceGetCount())

    def boards(self) -> tuple[Board, ...]:
        """Every GPU, in NVML's order."""
        return tuple(self.board(i) for i in range(self.count()))

    @_checked
    def board(self, index: int) -> Board:
        n = self._nvml
        device = n.nvmlDeviceGetHandleByIndex(index)
        uuid = str(n.nvmlDeviceGetUUID(device))
        with self._lock:
            self._devices[uuid] = device
        return Board(
            uuid=uuid,
            index=index,
            minor=n.nvmlDeviceGetMinorNumber(device),
            name=str(n.nvmlDeviceGetName(device)),
            architecture=_ARCHITECTURES.get(n.nvmlDeviceGetArchitecture(device), "newer"),
            memory_mib=n.nvmlDeviceGetMemoryInfo(device).total // _MIB,
            bus_id=str(n.nvmlDeviceGetPciInfo(device).busId),
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
        """Look the GPU's handle up anew next time: one from before a reset is dead."""
        with self._lock:
            self._devices.pop(gpu, None)

    @_checked
    def model(self, board: Board) -> GpuModel:
        """The GPU's model with its live profile table; readable with MIG off."""
        with self._lock:
            known = self._models.get(board.uuid)
        if known is None:
            known = self._read_model(board)
            with self._lock:
                self._models[board.uuid] = known
        return known

    def _read_model(self, board: Board) -> GpuModel:
        profiles = tuple(self._read_profiles(self._device(board.uuid)))
        full = max((p for p in profiles if not p.variant), key=lambda p: p.size, default=None)
        return GpuModel(
            id=model_id(board.name),
            product=board.name,
            architecture=board.architecture,
            memory_mib=board.memory_mib,
            units=max((s + p.size for p in profiles for s in p.starts), default=0),
            slices=full.slices if full else 0,
            profiles=profiles,
            engines=full.engines if full else None,
            mig_mode_needs_reset=bool(profiles) and board.architecture == _AMPERE,
        )

    def _read_profiles(self, device: Any) -> Iterator[Profile]:
        n = self._nvml
        for number in range(n.NVML_GPU_INSTANCE_PROFILE_COUNT):
            try:
                info = n.nvmlDeviceGetGpuInstanceProfileInfo(device, number)
                places = self._placements(device, info.id)
            except (n.NVMLError_NotSupported, n.NVMLError_InvalidArgument):
                continue
            if places:
                yield Profile(
                    name=str(info.name).removeprefix("MIG ").strip(),
                    enum=number,
                    board_id=info.id,
                    slices=info.sliceCount,
                    size=places[0][1],
                    starts=tuple(sorted(start for start, _ in places)),
                    memory_mib=info.memorySizeMB,
                    max_count=info.instanceCount,
                    multiprocessors=info.multiprocessorCount or None,
                    engines=Engines(info.decoderCount, info.jpegCount, info.ofaCount),
                )

    def _placements(self, device: Any, profile_id: int) -> list[tuple[int, int]]:
        """(start, size) of every placement: asked for the count, then for the array."""
        n = self._nvml
        count = ctypes.c_uint(0)
        n.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, None, ctypes.byref(count))
        array = (n.c_nvmlGpuInstancePlacement_t * count.value)()
        n.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, array, ctypes.byref(count))
        return [(p.start, p.size) for p in array[: count.value]]

    @_checked
    def mig_mode(self, gpu: str) -> MigMode | None:
        """None where the GPU has no MIG."""
        try:
            current, pending = self._nvml.nvmlDeviceGetMigMode(self._device(gpu))
        except self._nvml.NVMLError_NotSupported:
            return None
        return MigMode(bool(current), bool(pending))

    @_checked
    def set_mig_mode(self, gpu: str, on: bool) -> MigMode:
        """Ask for a mode; what it is now and will be. Needs an idle GPU and CAP_SYS_ADMIN."""
        status = self._nvml.nvmlDeviceSetMigMode(self._device(gpu), int(on))
        self.forget(gpu)  # the driver may have reset the GPU
        if status:
            raise _ERRORS.get(status, NvmlError)(f"set mig mode: activation failed (NVML code {status})", status)
        current, pending = self._nvml.nvmlDeviceGetMigMode(self._device(gpu))
        return MigMode(bool(current), bool(pending))

    @_checked
    def instances(self, board: Board) -> tuple[HardwareInstance, ...]:
        """Every GPU instance, half-made ones included, by start."""
        mig = self._mig_devices(board.uuid)
        found = []
        for profile in self.model(board).profiles:
            for handle in self._gpu_instances(board.uuid, profile):
                info = self._nvml.nvmlGpuInstanceGetInfo(handle)
                mine = [m for m in mig if m.gi == info.id]
                if not mine:
                    self._refuse_hidden(handle, profile)
                uuid = mine[0].uuid if len(mine) == 1 and mine[0].whole else None
                compute = tuple(m.ci for m in mine)
                place = info.placement
                found.append(HardwareInstance(info.id, profile.name, place.start, place.size, compute, uuid))
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
        n = self._nvml
        device = self._device(gpu)
        found = []
        for index in range(n.nvmlDeviceGetMaxMigDeviceCount(device)):
            try:
                mig = n.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
            except n.NVMLError_NotFound:
                continue
            slices = n.nvmlDeviceGetAttributes_v2(mig)
            gi, ci = n.nvmlDeviceGetGpuInstanceId(mig), n.nvmlDeviceGetComputeInstanceId(mig)
            whole = slices.computeInstanceSliceCount == slices.gpuInstanceSliceCount
            found.append(_MigDevice(gi, ci, str(n.nvmlDeviceGetUUID(mig)), whole))
        return found

    @_checked
    def mig_device(self, uuid: str) -> int:
        """The GPU instance id of a live MIG device. Raises NotFound."""
        return int(self._nvml.nvmlDeviceGetGpuInstanceId(self._nvml.nvmlDeviceGetHandleByUUID(uuid)))

    @_checked
    def create_gpu_instance(self, board: Board, profile: Profile, start: int) -> int:
        """Returns its id. Raises NoRoom where something overlaps."""
        n = self._nvml
        place = n.c_nvmlGpuInstancePlacement_t(start, profile.size)
        handle = n.nvmlDeviceCreateGpuInstanceWithPlacement(
            self._device(board.uuid), profile.board_id, ctypes.byref(place)
        )
        return int(n.nvmlGpuInstanceGetInfo(handle).id)

    @_checked
    def create_compute_instance(self, board: Board, gi: int, profile: Profile) -> str:
        """The one compute instance that spans the GPU instance. Returns the MIG device's UUID."""
        n = self._nvml
        handle = n.nvmlDeviceGetGpuInstanceById(self._device(board.uuid), gi)
        kind = n.nvmlGpuInstanceGetComputeInstanceProfileInfo(
            handle, _COMPUTE_PROFILES[profile.slices], n.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
        )
        n.nvmlGpuInstanceCreateComputeInstance(handle, kind.id)
        for mig in self._mig_devices(board.uuid):
            if mig.gi == gi:
                return mig.uuid
        raise NotFound(f"GPU instance {gi} has no MIG device after its creation")

    @_checked
    def destroy_compute_instance(self, gpu: str, gi: int, ci: int) -> None:
        n = self._nvml
        instance = n.nvmlDeviceGetGpuInstanceById(self._device(gpu), gi)
        n.nvmlComputeInstanceDestroy(n.nvmlGpuInstanceGetComputeInstanceById(instance, ci))

    @_checked
    def destroy_gpu_instance(self, gpu: str, gi: int) -> None:
        self._nvml.nvmlGpuInstanceDestroy(self._nvml.nvmlDeviceGetGpuInstanceById(self._device(gpu), gi))

    @_checked
    def processes(self, gpu: str) -> tuple[Process, ...]:
        """Compute and graphics processes of the whole GPU, each instance once."""
        n = self._nvml
        device = self._device(gpu)
        found = {}
        for p in (*n.nvmlDeviceGetComputeRunningProcesses(device), *n.nvmlDeviceGetGraphicsRunningProcesses(device)):
            gi = None if p.gpuInstanceId in (None, _NO_INSTANCE) else int(p.gpuInstanceId)
            found[p.pid, gi] = Process(p.pid, (p.usedGpuMemory or 0) // _MIB, gi)
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class _MigDevice:
    """`whole`: its compute instance spans its GPU instance."""

    gi: int
    ci: int
    uuid: str
    whole: bool


def model_id(product: str) -> str:
    """A GPU's product name as a model id: "NVIDIA H100 80GB HBM3" -> "H100-80GB-HBM3"."""
    return product.removeprefix("NVIDIA ").removeprefix("Tesla ").replace(" ", "-")
