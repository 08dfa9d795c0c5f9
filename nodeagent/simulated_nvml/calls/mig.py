"""MIG: mode, profiles, placements, instances."""

from __future__ import annotations

from typing import Any

from nodeagent.simulated_nvml.handles import ComputeInstance, GpuDevice, GpuInstance, MigDevice, fill, put, value
from nodeagent.simulated_nvml.hardware import JsonRecord, NvmlReturn, Refused, board_id, memory_mib
from nodeagent.simulated_nvml.loaded_library import LoadedLibrary, call
from solver.model.catalog import models
from solver.model.geometry import GpuModel, Placement, Profile, legal

_LAST_KNOWN_PROFILE = 16  # beyond it a real driver 580 says INVALID_ARGUMENT
_PROFILE_V2 = 0x02000098
# compute instance profile enum -> compute slices (nvml.h)
_COMPUTE_SLICES = {0: 1, 1: 2, 2: 3, 3: 4, 4: 7, 5: 8, 6: 6}


@call("nvmlDeviceGetMigMode")
def mig_mode(library: LoadedLibrary, handle: Any, current: Any, pending: Any) -> None:
    gpu = library.gpu(handle)
    if not models()[gpu["model"]].profiles:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    put(current, int(gpu["mig"]))
    put(pending, int(gpu["mig_pending"]))


@call("nvmlDeviceSetMigMode")
def set_mig_mode(library: LoadedLibrary, handle: Any, mode: Any, status: Any) -> None:
    put(status, 0)
    library.hardware.set_mig_mode(library.gpu(handle)["uuid"], bool(value(mode)))


def _model(library: LoadedLibrary, handle: Any) -> GpuModel:
    return models()[library.gpu(handle)["model"]]


def _by_board_id(library: LoadedLibrary, handle: Any, profile_id: Any) -> Profile:
    for profile in _model(library, handle).profiles:
        if board_id(profile) == value(profile_id):
            return profile
    raise Refused(NvmlReturn.NOT_SUPPORTED)


def _describe(model: GpuModel, profile: Profile) -> dict[str, Any]:
    engines = profile.engines
    return {
        "id": board_id(profile),
        "isP2pSupported": 0,
        "sliceCount": profile.slices,
        "instanceCount": profile.max_count,
        "multiprocessorCount": profile.multiprocessors or 0,
        "copyEngineCount": profile.slices,
        "decoderCount": engines.decoders if engines else 0,
        "encoderCount": 0,
        "jpegCount": engines.jpeg if engines else 0,
        "ofaCount": engines.ofa if engines else 0,
        "memorySizeMB": memory_mib(model, profile),
    }


@call("nvmlDeviceGetGpuInstanceProfileInfo", "nvmlDeviceGetGpuInstanceProfileInfoV")
def profile_info(library: LoadedLibrary, handle: Any, number: Any, out: Any) -> None:
    model = _model(library, handle)
    profile = next((p for p in model.profiles if p.enum == value(number)), None)
    if profile is None:
        raise Refused(NvmlReturn.NOT_SUPPORTED if value(number) <= _LAST_KNOWN_PROFILE else NvmlReturn.INVALID_ARGUMENT)
    _profile_out(model, profile, out)


@call("nvmlDeviceGetGpuInstanceProfileInfoByIdV")
def profile_info_by_id(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any) -> None:
    _profile_out(_model(library, handle), _by_board_id(library, handle, profile_id), out)


def _profile_out(model: GpuModel, profile: Profile, out: Any) -> None:
    fill(out, **_describe(model, profile))
    if getattr(out._obj, "version", None) == _PROFILE_V2:
        fill(out, name=f"MIG {profile.name}")


@call("nvmlDeviceGetGpuInstancePossiblePlacements_v2")
def possible_placements(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any, size: Any) -> None:
    profile = _by_board_id(library, handle, profile_id)
    if out is not None:
        for slot, start in zip(_array(out), profile.starts, strict=False):
            slot.start, slot.size = start, profile.size
    put(size, len(profile.starts))


def _array(out: Any) -> Any:
    """The array itself, passed as it is or by reference."""
    return getattr(out, "_obj", out)


@call("nvmlDeviceGetGpuInstanceRemainingCapacity")
def remaining_capacity(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any) -> None:
    profile, gpu = _by_board_id(library, handle, profile_id), library.gpu(handle)
    layout = [Placement(i["profile"], i["start"]) for i in gpu["instances"]]
    fitted = 0
    for start in profile.starts:
        if legal(models()[gpu["model"]], [*layout, Placement(profile.name, start)]):
            layout.append(Placement(profile.name, start))
            fitted += 1
    put(out, fitted)


@call("nvmlDeviceCreateGpuInstance")
def create_anywhere(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any) -> None:
    _create(library, library.gpu(handle)["uuid"], value(profile_id), None, out)


@call("nvmlDeviceCreateGpuInstanceWithPlacement")
def create_at(library: LoadedLibrary, handle: Any, profile_id: Any, placement: Any, out: Any) -> None:
    _create(library, library.gpu(handle)["uuid"], value(profile_id), _array(placement).start, out)


def _create(library: LoadedLibrary, gpu: str, profile_id: int, start: int | None, out: Any) -> None:
    gi = library.hardware.create_gpu_instance(gpu, profile_id, start)
    library.handles.give(GpuInstance(gpu, gi, library.hardware.instance(gpu, gi)["serial"]), out)


@call("nvmlGpuInstanceDestroy")
def destroy_gpu_instance(library: LoadedLibrary, handle: Any) -> None:
    gpu, instance = library.gpu_instance(handle)
    library.hardware.destroy_gpu_instance(gpu, instance["gi"])


@call("nvmlDeviceGetGpuInstances")
def gpu_instances(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any, size: Any) -> None:
    gpu, profile = library.gpu(handle), _by_board_id(library, handle, profile_id)
    if not gpu["mig"]:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    found = [i for i in gpu["instances"] if i["profile"] == profile.name]
    _handles_out(library, [GpuInstance(gpu["uuid"], i["gi"], i["serial"]) for i in found], out, size)


def _handles_out(library: LoadedLibrary, found: list[Any], out: Any, size: Any) -> None:
    array = _array(out)
    for position, target in enumerate(found):
        library.handles.give_item(target, array, position)
    put(size, len(found))


@call("nvmlDeviceGetGpuInstanceById")
def gpu_instance_by_id(library: LoadedLibrary, handle: Any, gi: Any, out: Any) -> None:
    gpu = library.gpu(handle)
    instance = library.hardware.instance(gpu["uuid"], value(gi))
    library.handles.give(GpuInstance(gpu["uuid"], instance["gi"], instance["serial"]), out)


@call("nvmlGpuInstanceGetInfo")
def gpu_instance_info(library: LoadedLibrary, handle: Any, out: Any) -> None:
    gpu, instance = library.gpu_instance(handle)
    library.handles.give_field(GpuDevice(gpu), out, "device")
    fill(out, id=instance["gi"], profileId=_profile_id(library, gpu, instance))
    out._obj.placement.start, out._obj.placement.size = instance["start"], instance["size"]


def _profile_id(library: LoadedLibrary, gpu: str, instance: JsonRecord) -> int:
    model = models()[library.hardware.gpu(gpu)["model"]]
    return next(board_id(p) for p in model.profiles if p.name == instance["profile"])


@call("nvmlGpuInstanceGetComputeInstanceProfileInfo", "nvmlGpuInstanceGetComputeInstanceProfileInfoV")
def compute_profile_info(library: LoadedLibrary, handle: Any, number: Any, engines: Any, out: Any) -> None:
    _, instance = library.gpu_instance(handle)
    slices = _COMPUTE_SLICES.get(value(number), 0)
    if not 0 < slices <= instance["slices"]:
        raise Refused(NvmlReturn.NOT_SUPPORTED)
    fill(out, id=value(number), sliceCount=slices, instanceCount=instance["slices"] // slices)


@call("nvmlGpuInstanceCreateComputeInstance")
def create_compute_instance(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any) -> None:
    gpu, instance = library.gpu_instance(handle)
    if value(profile_id) not in _COMPUTE_SLICES:
        raise Refused(NvmlReturn.INVALID_ARGUMENT)
    ci = library.hardware.create_compute_instance(gpu, instance["gi"], _COMPUTE_SLICES[value(profile_id)])
    created = next(c for c in library.hardware.instance(gpu, instance["gi"])["compute"] if c["ci"] == ci)
    library.handles.give(ComputeInstance(gpu, instance["gi"], ci, created["uuid"]), out)


@call("nvmlComputeInstanceDestroy")
def destroy_compute_instance(library: LoadedLibrary, handle: Any) -> None:
    target = library.compute_instance(handle)
    library.hardware.destroy_compute_instance(target.gpu, target.gi, target.ci)


@call("nvmlGpuInstanceGetComputeInstances")
def compute_instances(library: LoadedLibrary, handle: Any, profile_id: Any, out: Any, size: Any) -> None:
    gpu, instance = library.gpu_instance(handle)
    slices = _COMPUTE_SLICES.get(value(profile_id))
    found = [c for c in instance["compute"] if c["slices"] == slices]
    _handles_out(library, [ComputeInstance(gpu, instance["gi"], c["ci"], c["uuid"]) for c in found], out, size)


@call("nvmlGpuInstanceGetComputeInstanceById")
def compute_instance_by_id(library: LoadedLibrary, handle: Any, ci: Any, out: Any) -> None:
    gpu, instance = library.gpu_instance(handle)
    for compute in instance["compute"]:
        if compute["ci"] == value(ci):
            return library.handles.give(ComputeInstance(gpu, instance["gi"], compute["ci"], compute["uuid"]), out)
    raise Refused(NvmlReturn.NOT_FOUND)


@call("nvmlComputeInstanceGetInfo_v2")
def compute_instance_info(library: LoadedLibrary, handle: Any, out: Any) -> None:
    target = library.compute_instance(handle)
    instance = library.hardware.instance(target.gpu, target.gi)
    slices = next(c["slices"] for c in instance["compute"] if c["ci"] == target.ci)
    library.handles.give_field(GpuDevice(target.gpu), out, "device")
    library.handles.give_field(GpuInstance(target.gpu, target.gi, instance["serial"]), out, "gpuInstance")
    fill(out, id=target.ci, profileId=next(n for n, s in _COMPUTE_SLICES.items() if s == slices))


@call("nvmlDeviceIsMigDeviceHandle")
def is_mig_device(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, int(isinstance(library.device(handle), MigDevice)))


def _mig_device(library: LoadedLibrary, handle: Any) -> MigDevice:
    target = library.device(handle)
    if not isinstance(target, MigDevice):
        raise Refused(NvmlReturn.INVALID_ARGUMENT)
    return target


@call("nvmlDeviceGetGpuInstanceId")
def gpu_instance_id(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, _mig_device(library, handle).gi)


@call("nvmlDeviceGetComputeInstanceId")
def compute_instance_id(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, _mig_device(library, handle).ci)


@call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle")
def parent_device(library: LoadedLibrary, handle: Any, out: Any) -> None:
    library.handles.give(GpuDevice(_mig_device(library, handle).gpu), out)


@call("nvmlDeviceGetMaxMigDeviceCount")
def most_mig_devices(library: LoadedLibrary, handle: Any, out: Any) -> None:
    put(out, _model(library, handle).slices)


@call("nvmlDeviceGetMigDeviceHandleByIndex")
def mig_device_by_index(library: LoadedLibrary, handle: Any, index: Any, out: Any) -> None:
    gpu = library.gpu(handle)
    if value(index) >= models()[gpu["model"]].slices:
        raise Refused(NvmlReturn.INVALID_ARGUMENT)
    devices = library.mig_devices(gpu)
    if value(index) >= len(devices):
        raise Refused(NvmlReturn.NOT_FOUND)
    library.handles.give(devices[value(index)], out)


@call("nvmlDeviceGetAttributes_v2")
def attributes(library: LoadedLibrary, handle: Any, out: Any) -> None:
    target = _mig_device(library, handle)
    gpu, instance = library.hardware.gpu(target.gpu), library.hardware.instance(target.gpu, target.gi)
    model = models()[gpu["model"]]
    profile = next(p for p in model.profiles if p.name == instance["profile"])
    described = _describe(model, profile)
    fill(
        out,
        multiprocessorCount=described["multiprocessorCount"],
        sharedCopyEngineCount=described["copyEngineCount"],
        sharedDecoderCount=described["decoderCount"],
        sharedEncoderCount=0,
        sharedJpegCount=described["jpegCount"],
        sharedOfaCount=described["ofaCount"],
        gpuInstanceSliceCount=instance["slices"],
        computeInstanceSliceCount=next(c["slices"] for c in instance["compute"] if c["ci"] == target.ci),
        memorySizeMB=instance["memory_mib"],
    )
