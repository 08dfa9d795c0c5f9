"""Our one door to NVML, over the simulated library: the hardware's rules as a driver's caller meets them."""

import os
from pathlib import Path

import pytest

from nodeagent.nvml import (
    GpuInfo,
    InsufficientResources,
    InUse,
    LibraryMissing,
    NotSupported,
    Nvml,
    NvmlError,
    NvmlNotFound,
)
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.faults import Faults, parse
from nodeagent.simulated_nvml.gpu_models import MODEL_FACTS
from nodeagent.simulated_nvml.hardware import SimulatedHardware, memory_mib
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import reboot
from solver.model.catalog import models
from solver.model.geometry import Profile
from tests.nodeagent.machines import Machine


@pytest.fixture
def nvml(machine: Machine) -> Nvml:
    return Nvml(machine.library())


def profile(nvml: Nvml, gpu_info: GpuInfo, name: str) -> Profile:
    found = nvml.model(gpu_info).profile(name)
    assert found is not None
    return found


def create(nvml: Nvml, gpu_info: GpuInfo, name: str, start: int) -> tuple[int, str]:
    gi = nvml.create_gpu_instance(gpu_info, profile(nvml, gpu_info, name), start)
    return gi, nvml.create_compute_instance(gpu_info, gi, profile(nvml, gpu_info, name))


@pytest.mark.parametrize("name", sorted(MODEL_FACTS))
def test_live_profile_tables_equal_the_catalog(name: str, tmp_path: Path) -> None:
    model = models()[name]
    spec.create(tmp_path / "m.json", name)
    nvml = Nvml(SimulatedNvml(tmp_path / "m.json"))
    (gpu_info,) = nvml.gpus()
    live = nvml.model(gpu_info)
    assert gpu_info.memory_mib == model.memory_mib
    assert (live.units, live.slices, live.mig_mode_needs_reset) == (
        model.units,
        model.slices,
        model.mig_mode_needs_reset,
    )
    by_name = {p.name: p for p in live.profiles}
    assert set(by_name) == {p.name for p in model.profiles}
    for p in model.profiles:
        got = by_name[p.name]
        assert (got.enum, got.slices, got.size, got.starts) == (p.enum, p.slices, p.size, p.starts)
        assert (got.max_count, got.memory_mib) == (p.max_count, memory_mib(model, p))


def test_a_driver_too_old_for_a_call_is_told_as_that(machine: Machine) -> None:
    nvml = Nvml(machine.library(Faults(parse("nvmlDeviceGetComputeRunningProcesses_v3=FUNCTION_NOT_FOUND"))))
    with pytest.raises(NotSupported, match="older than R510"):
        nvml.processes(machine.gpu())


def test_without_a_driver_the_error_names_the_library() -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a driver")
    with pytest.raises(LibraryMissing, match="NVML Shared Library Not Found"):
        Nvml()


def test_two_machines_in_one_process_are_kept_apart(tmp_path: Path) -> None:
    spec.create(tmp_path / "a.json", "v100", seed="a")
    spec.create(tmp_path / "b.json", "a100-40gb", seed="b")
    a, b = Nvml(SimulatedNvml(tmp_path / "a.json")), Nvml(SimulatedNvml(tmp_path / "b.json"))
    assert [x.name for x in a.gpus()] == ["Tesla V100-SXM2-16GB"]
    assert [x.name for x in b.gpus()] == ["NVIDIA A100-SXM4-40GB"]
    assert [x.name for x in a.gpus()] == ["Tesla V100-SXM2-16GB"]


def test_an_instance_overlapping_another_has_no_room(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[0]
    create(nvml, gpu_info, "2g.10gb", 2)
    with pytest.raises(InsufficientResources):
        create(nvml, gpu_info, "3g.20gb", 0)
    with pytest.raises(InsufficientResources):
        create(nvml, gpu_info, "2g.10gb", 2)


def test_one_media_instance_per_gpu(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[0]
    create(nvml, gpu_info, "1g.5gb+me", 0)
    with pytest.raises(InsufficientResources):
        create(nvml, gpu_info, "1g.5gb+me", 1)


def test_a_start_off_the_table_is_refused(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[0]
    with pytest.raises(NvmlError, match="Invalid Argument"):
        create(nvml, gpu_info, "3g.20gb", 2)


def test_compute_instance_goes_before_gpu_instance(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[0]
    gi, _ = create(nvml, gpu_info, "1g.5gb", 0)
    with pytest.raises(InUse):
        nvml.destroy_gpu_instance(gpu_info.uuid, gi)
    nvml.destroy_compute_instance(gpu_info.uuid, gi, 0)
    (half,) = nvml.instances(gpu_info)
    assert (half.uuid, half.compute) == (None, ())
    nvml.destroy_gpu_instance(gpu_info.uuid, gi)
    assert nvml.instances(gpu_info) == ()


def test_in_use_while_a_process_lives(nvml: Nvml, machine: Machine) -> None:
    gpu_info = nvml.gpus()[0]
    gi, uuid = create(nvml, gpu_info, "1g.5gb", 0)
    machine.occupy(uuid, 100, os.getpid())
    assert [(p.pid, p.memory_mib, p.gi) for p in nvml.processes(gpu_info.uuid)] == [(os.getpid(), 100, gi)]
    with pytest.raises(InUse):
        nvml.destroy_compute_instance(gpu_info.uuid, gi, 0)
    machine.vacate()
    nvml.destroy_compute_instance(gpu_info.uuid, gi, 0)


def test_a_recreated_instance_has_its_id_back_and_a_new_uuid(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[0]
    gi, before = create(nvml, gpu_info, "2g.10gb", 0)
    nvml.destroy_compute_instance(gpu_info.uuid, gi, 0)
    nvml.destroy_gpu_instance(gpu_info.uuid, gi)
    again, after = create(nvml, gpu_info, "2g.10gb", 0)
    assert again == gi
    assert after != before
    with pytest.raises(NvmlNotFound):
        nvml.mig_device(before)
    assert nvml.mig_device(after) == gi


def test_a_gpu_without_mig_says_so(nvml: Nvml) -> None:
    gpu_info = nvml.gpus()[1]
    assert nvml.mig_mode(gpu_info.uuid) is None
    assert nvml.model(gpu_info).profiles == ()
    with pytest.raises(NotSupported):
        nvml.set_mig_mode(gpu_info.uuid, True)


def test_mig_mode_waits_for_a_reset_on_ampere_only(tmp_path: Path) -> None:
    spec.create(tmp_path / "m.json", "a100:nomig,h100:nomig")
    library = SimulatedNvml(tmp_path / "m.json")
    nvml = Nvml(library)
    ampere, hopper = (b.uuid for b in nvml.gpus())
    pending = nvml.set_mig_mode(ampere, True)
    assert (pending.current, pending.pending) == (False, True)
    assert nvml.set_mig_mode(hopper, True).current
    library.loaded.hardware.reset(ampere)
    now = nvml.mig_mode(ampere)
    assert now is not None
    assert now.current


def test_a_reboot_takes_instances_and_later_boards_mig_mode(tmp_path: Path) -> None:
    spec.create(tmp_path / "m.json", "a100,h100")
    library = SimulatedNvml(tmp_path / "m.json")
    nvml = Nvml(library)
    gpu_infos = nvml.gpus()
    create(nvml, gpu_infos[0], "1g.10gb" if gpu_infos[0].memory_mib > 50000 else "1g.5gb", 0)
    boot = library.boot_id()
    with library.loaded.hardware.state.change() as state:
        reboot(state, state["host_boot_id"])
    assert nvml.instances(gpu_infos[0]) == ()
    modes = [nvml.mig_mode(b.uuid) for b in gpu_infos]
    assert [m.current for m in modes if m] == [True, False]
    assert library.boot_id() != boot


def test_state_outlives_its_process_and_latencies_are_the_drivers(tmp_path: Path) -> None:
    spec.create(tmp_path / "m.json", "a100-40gb", create_s=0.35, destroy_s=0.6)
    slept: list[float] = []
    first = Nvml(SimulatedNvml(tmp_path / "m.json", sleep=slept.append))
    gpu_info = first.gpus()[0]
    gi, uuid = create(first, gpu_info, "1g.5gb", 3)
    assert sum(slept) == pytest.approx(0.35)
    second = Nvml(SimulatedNvml(tmp_path / "m.json", sleep=slept.append))
    assert second.mig_device(uuid) == gi
    second.destroy_compute_instance(gpu_info.uuid, gi, 0)
    second.destroy_gpu_instance(gpu_info.uuid, gi)
    assert sum(slept) == pytest.approx(0.95)


def test_several_compute_instances_in_one_gpu_instance_are_not_ours(nvml: Nvml, machine: Machine) -> None:
    gpu_info = nvml.gpus()[0]
    hardware = SimulatedHardware(machine.state)
    gi = hardware.create_gpu_instance(gpu_info.uuid, 9, 0)
    hardware.create_compute_instance(gpu_info.uuid, gi, 1)
    hardware.create_compute_instance(gpu_info.uuid, gi, 2)
    (found,) = nvml.instances(gpu_info)
    assert (found.profile, found.compute, found.uuid) == ("3g.20gb", (0, 1), None)
