"""What programs and monitors are told: the share as if it were the GPU."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from nodeagent.shim import placing, region
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import (
    GIB,
    MIB,
    OUT_OF_MEMORY,
    SUCCESS,
    Machine,
    Program,
    Share,
    StandinGpu,
    gpu_uuid,
)

NVML = "libnvidia-ml.so.1"


def memory_of(monitor: Program, gpu: int = 0) -> tuple[int, ...]:
    """nvmlDeviceGetMemoryInfo: total, free, used."""
    device = monitor.ok("nvmlDeviceGetHandleByIndex_v2", gpu, "out")
    return monitor.struct("nvmlDeviceGetMemoryInfo", device, form="=QQQ")


def memory_v2_of(monitor: Program, gpu: int = 0) -> tuple[int, ...]:
    """nvmlDeviceGetMemoryInfo_v2: version, total, reserved, free, used."""
    device = monitor.ok("nvmlDeviceGetHandleByIndex_v2", gpu, "out")
    return monitor.struct("nvmlDeviceGetMemoryInfo_v2", device, form="=I4xQQQQ", given=(0x2000028, 0, 0, 0, 0))


def test_free_memory_is_what_is_left_of_the_share(share: Share) -> None:
    with share.cuda() as program, share.cuda() as other:
        assert calls.free_and_total(program) == (GIB, GIB)
        other.ok("cuMemAlloc_v2", "out", 100 * MIB)
        program.ok("cuMemAlloc_v2", "out", 24 * MIB)
        assert calls.free_and_total(program) == (900 * MIB, GIB) == calls.free_and_total(other)


@pytest.mark.parametrize("function", ["cuMemGetInfo_v2", "cuMemGetInfo"])
def test_either_pointer_may_be_null(share: Share, function: str) -> None:
    with share.cuda() as program:
        assert program.call(function, None, "out") == SUCCESS
        assert program.last_out[0] & 0xFFFFFFFF == GIB
        assert program.call(function, "out", None) == SUCCESS
        assert program.last_out[0] & 0xFFFFFFFF == GIB
        assert program.call(function, None, None) == SUCCESS


def test_no_more_is_shown_free_than_the_gpu_has(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), memory=2 * GIB))
    with machine.beside().cuda() as stranger, machine.share("share", ours, GIB).cuda() as program:
        stranger.ok("cuMemAlloc_v2", "out", GIB + 512 * MIB)
        assert calls.free_and_total(program) == (512 * MIB, GIB)


@pytest.mark.parametrize("function", ["cuDeviceTotalMem_v2", "cuDeviceTotalMem"])
def test_the_devices_size_is_the_shares(share: Share, function: str) -> None:
    with share.start() as program:
        program.ok("cuInit", 0)
        assert program.ok(function, "out", 0) & 0xFFFFFFFF == GIB
        assert program.call(function, "out", 7) != SUCCESS


def test_a_share_larger_than_the_gpu_shows_the_gpu(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), memory=GIB))
    with machine.share("share", ours, 5 * GIB).cuda() as program:
        assert calls.free_and_total(program) == (GIB, GIB)
        assert program.ok("cuDeviceTotalMem_v2", "out", 0) == GIB


def test_before_init_the_drivers_own_errors_are_heard(share: Share) -> None:
    with share.start() as program:
        for call in (("cuMemAlloc_v2", "out", 1), ("cuMemGetInfo_v2", "out", "out"), ("cuMemAllocAsync", "out", 1, 0)):
            assert program.call(*call) == 3
        program.ok("cuInit", 0)
        for call in (("cuMemAlloc_v2", "out", 1), ("cuMemGetInfo_v2", "out", "out"), ("cuMemAllocAsync", "out", 1, 0)):
            assert program.call(*call) == 201


def test_monitors_see_the_share(share: Share) -> None:
    with share.start(library=NVML) as monitor, share.cuda() as program, share.cuda() as other:
        program.ok("cuMemAlloc_v2", "out", 100 * MIB)
        other.ok("cuMemAlloc_v2", "out", 24 * MIB)
        assert memory_of(monitor) == (GIB, 900 * MIB, 124 * MIB)
        assert memory_v2_of(monitor) == (0x2000028, GIB, 0, 900 * MIB, 124 * MIB)


def test_monitors_forget_the_dead(share: Share) -> None:
    with share.start(library=NVML) as monitor:
        with share.cuda() as program:
            program.ok("cuMemAlloc_v2", "out", 100 * MIB)
        assert memory_of(monitor) == (GIB, GIB, 0)


def test_monitors_see_contexts(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), context=256 * MIB))
    share = machine.share("share", ours, GIB)
    with share.start(library=NVML) as monitor, share.cuda():
        assert memory_of(monitor) == (GIB, 768 * MIB, 256 * MIB)


def test_a_gpu_outside_the_share_has_its_real_numbers(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), StandinGpu(gpu_uuid(1), memory=3 * GIB))
    with machine.share("share", ours, GIB).start(library=NVML) as monitor:
        assert memory_of(monitor, 1) == (3 * GIB, 3 * GIB, 0)
        assert memory_of(monitor, 0) == (GIB, GIB, 0)


@pytest.mark.parametrize("harm", ["no limits", "bad limits", "no region", "bad region"])
def test_in_trouble_monitors_get_the_real_numbers(share: Share, harm: str) -> None:
    match harm:
        case "no limits":
            share.limits.unlink()
        case "bad limits":
            share.limits.write_text("migctl limits 9\n")
        case "no region":
            share.region.unlink()
        case "bad region":
            share.region.write_bytes(b"x" * region.SIZE)
    with share.start(library=NVML) as monitor:
        assert memory_of(monitor) == (16 * GIB, 16 * GIB, 0)


@pytest.mark.parametrize(
    ("function", "size"),
    [
        ("nvmlDeviceGetComputeRunningProcesses", 16),
        ("nvmlDeviceGetComputeRunningProcesses_v2", 24),
        ("nvmlDeviceGetComputeRunningProcesses_v3", 24),
    ],
)
def test_process_lists_hide_neighbours(machine: Machine, share: Share, function: str, size: int) -> None:
    with machine.beside().cuda() as stranger, share.cuda() as first, share.cuda() as second:
        for program in (stranger, first, second):
            program.ok("cuMemAlloc_v2", "out", MIB)
        with share.start(library=NVML) as monitor:
            device = monitor.ok("nvmlDeviceGetHandleByIndex_v2", 0, "out")
            shown = _processes(monitor, function, device, size)
        assert shown == {(p.process.pid, MIB) for p in (first, second)}
        assert len(_everybody(machine, function, size)) == 3


def _processes(monitor: Program, function: str, device: int, size: int) -> set[tuple[int, int]]:
    answer = monitor.ask(
        {"call": function, "args": [device, {"bytes": struct.pack("=I", 16).hex()}, {"bytes": "00" * 16 * size}]}
    )
    assert answer["code"] == SUCCESS
    count = struct.unpack_from("=I", bytes.fromhex(answer["buffers"][0]))[0]
    entries: Any = bytes.fromhex(answer["buffers"][1])
    return {struct.unpack_from("=I4xQ", entries, i * size) for i in range(count)}


def _everybody(machine: Machine, function: str, size: int) -> set[tuple[int, int]]:
    with machine.beside().start(library=NVML) as monitor:
        device = monitor.ok("nvmlDeviceGetHandleByIndex_v2", 0, "out")
        return _processes(monitor, function, device, size)


def test_the_size_of_a_process_list_can_be_asked_for(share: Share) -> None:
    with share.cuda() as program, share.start(library=NVML) as monitor:
        program.ok("cuMemAlloc_v2", "out", MIB)
        device = monitor.ok("nvmlDeviceGetHandleByIndex_v2", 0, "out")
        too_small = {"bytes": "00000000"}
        assert monitor.call("nvmlDeviceGetComputeRunningProcesses_v3", device, too_small, None) == 7


def test_both_libraries_live_in_one_process(share: Share) -> None:
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        program.ask({"load": NVML})
        assert memory_of(program) == (GIB, GIB - MIB, MIB)


def test_what_the_driver_keeps_is_used_from_the_start(machine: Machine, ours: Libraries, tmp_path: Path) -> None:
    told = [GpuLimit(machine.gpus[0].uuid, GIB, 0, reserved=24 * MIB)]
    placing.place(tmp_path / "reserved", told, ours, machine.drivers)
    share = Share(tmp_path / "reserved", tmp_path / "reserved" / "lib")
    with share.cuda() as program, share.start(library=NVML) as monitor:
        assert calls.free_and_total(program) == (1000 * MIB, GIB)
        assert memory_of(monitor) == (GIB, 1000 * MIB, 24 * MIB)
        assert program.call("cuMemAlloc_v2", "out", 1000 * MIB + 1) == OUT_OF_MEMORY
        program.ok("cuMemAlloc_v2", "out", 1000 * MIB)
