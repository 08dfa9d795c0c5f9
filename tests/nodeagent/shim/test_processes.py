"""Several processes of one workload share its limit, whatever they do to themselves and their environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nodeagent.shim import region
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import (
    GIB,
    HERE,
    MIB,
    NOT_INITIALIZED,
    OUT_OF_MEMORY,
    SUCCESS,
    Machine,
    Share,
    StandinGpu,
    gpu_uuid,
)
from tests.nodeagent.shim.harness.toolchain import Toolchain

FILL = {"call": "cuMemAlloc_v2", "args": ["out", GIB]}
BEGIN = [{"call": "cuInit", "args": [0]}, {"call": "cuCtxCreate_v2", "args": ["out", 0, 0]}]


def test_processes_share_one_limit(share: Share, machine: Machine) -> None:
    with share.cuda() as first, share.cuda() as second:
        first.ok("cuMemAlloc_v2", "out", GIB - MIB)
        assert second.call("cuMemAlloc_v2", "out", MIB + 1) == OUT_OF_MEMORY
        second.ok("cuMemAlloc_v2", "out", MIB)
        assert first.call("cuMemAlloc_v2", "out", 1) == OUT_OF_MEMORY
        assert machine.held() == machine.peak() == GIB


def test_a_killed_process_leaves_nothing_behind(share: Share, machine: Machine) -> None:
    with share.cuda() as survivor:
        for _ in range(5):
            with share.cuda() as victim:
                victim.ok("cuMemAlloc_v2", "out", GIB)
                assert survivor.call("cuMemAlloc_v2", "out", 1) == OUT_OF_MEMORY
            survivor.ok("cuMemFree_v2", survivor.ok("cuMemAlloc_v2", "out", GIB))
        assert machine.peak() == GIB


def test_a_process_that_ends_by_itself_leaves_nothing_behind(share: Share) -> None:
    with share.cuda() as survivor, share.cuda() as other:
        other.ok("cuMemAlloc_v2", "out", GIB)
        assert other.end() == ""
        survivor.ok("cuMemAlloc_v2", "out", GIB)


def test_a_forked_child_of_a_program_without_cuda_counts_for_itself(share: Share, machine: Machine) -> None:
    with share.start() as parent, share.cuda() as other:
        other.ok("cuMemAlloc_v2", "out", MIB)
        answers = parent.ask({"fork": [*BEGIN, FILL, {"call": "cuMemAlloc_v2", "args": ["out", GIB - MIB]}]})["answers"]
        assert [a["code"] for a in answers] == [SUCCESS, SUCCESS, OUT_OF_MEMORY, SUCCESS]
        parent.begin()
        assert calls.free_and_total(parent) == (GIB - MIB, GIB)
        assert machine.peak() == GIB


def test_a_forked_child_does_not_touch_its_parents_account(share: Share) -> None:
    with share.cuda() as parent:
        pointer = parent.ok("cuMemAlloc_v2", "out", MIB)
        pooled = parent.ok("cuMemAllocAsync", "out", MIB, 0)
        child = [
            {"call": "cuMemFree_v2", "args": [pointer]},
            {"call": "cuMemFreeAsync", "args": [pooled, 0]},
            {"call": "cuMemAlloc_v2", "args": ["out", 1]},
            {"call": "cuDevicePrimaryCtxReset_v2", "args": [0]},
        ]
        answers = parent.ask({"fork": child})["answers"]
        assert [a["code"] for a in answers] == [NOT_INITIALIZED] * 4
        assert calls.free_and_total(parent) == (GIB - MIB - calls.CHUNK, GIB)
        parent.ok("cuMemFree_v2", pointer)
        assert calls.free_and_total(parent) == (GIB - calls.CHUNK, GIB)


def test_a_child_that_outlives_its_killed_parent_keeps_no_memory_of_it(share: Share, toolchain: Toolchain) -> None:
    with share.cuda() as survivor, share.cuda() as parent:
        parent.ok("cuMemAlloc_v2", "out", GIB)
        orphan = parent.ask({"spawn": ["sleep", "600"]})["pid"]
        try:
            parent.process.kill()
            parent.process.wait()
            survivor.ok("cuMemAlloc_v2", "out", GIB)
        finally:
            os.kill(orphan, 9)


def test_a_forked_orphan_keeps_no_memory_of_its_killed_parent(share: Share) -> None:
    with share.cuda() as survivor, share.cuda() as parent:
        parent.ok("cuMemAlloc_v2", "out", GIB)
        orphan = parent.ask({"linger": True})["pid"]
        try:
            parent.process.kill()
            parent.process.wait()
            survivor.ok("cuMemAlloc_v2", "out", GIB)
        finally:
            os.kill(orphan, 9)


@pytest.mark.parametrize("how", ["fork", "vfork", "posix_spawn"])
def test_programs_that_a_program_starts_are_bounded_too(
    share: Share, machine: Machine, toolchain: Toolchain, how: str
) -> None:
    linked = toolchain.program("linked.c", "plain", (str(machine.drivers.cuda), "-Wl,--disable-new-dtags"))
    launcher = toolchain.program("launcher.c")
    done = subprocess.run(
        [launcher, how, linked, str(GIB)], env=share.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{GIB} bytes, then {OUT_OF_MEMORY}\n"
    with share.cuda() as survivor:
        assert calls.free_and_total(survivor) == (GIB, GIB)


def test_without_any_environment_the_limit_holds(share: Share, machine: Machine, toolchain: Toolchain) -> None:
    """As in a container, where our library lies at the driver's place: `env -i`, sudo and ssh change nothing."""
    flags = (str(machine.drivers.cuda), "-Wl,--disable-new-dtags", f"-Wl,-rpath,{share.libraries}")
    linked = toolchain.program("linked.c", f"rpath-{share.folder.name}-{os.getpid()}", flags)
    done = subprocess.run(
        ["env", "-i", linked, str(GIB)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{GIB} bytes, then {OUT_OF_MEMORY}\n"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2), (2,)])
@pytest.mark.parametrize("named", ["uuid", "index"])
def test_gpus_are_known_by_uuid_not_by_place(
    make_machine: MakeMachine, ours: Libraries, order: tuple[int, ...], named: str
) -> None:
    machine = make_machine(*(StandinGpu(gpu_uuid(n)) for n in range(3)))
    share = machine.share("share", ours, {n: (n + 1) * GIB for n in range(3)})
    visible = ",".join(machine.gpus[n].uuid if named == "uuid" else str(n) for n in order)
    with share.start({"CUDA_VISIBLE_DEVICES": visible}) as program:
        for ordinal, gpu in enumerate(order):
            program.begin(ordinal)
            assert program.ok("cuDeviceTotalMem_v2", "out", ordinal) == (gpu + 1) * GIB
            assert program.call("cuMemAlloc_v2", "out", (gpu + 1) * GIB + 1) == OUT_OF_MEMORY
            assert program.call("cuMemAlloc_v2", "out", (gpu + 1) * GIB) == SUCCESS
            assert machine.held(gpu) == (gpu + 1) * GIB


def test_a_gpu_outside_the_share_gives_nothing(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), StandinGpu(gpu_uuid(1)))
    with machine.share("share", ours, {1: GIB}).start() as program:
        program.ok("cuInit", 0)
        assert program.ok("cuDeviceTotalMem_v2", "out", 0) == 0
        assert program.call("cuDevicePrimaryCtxRetain", "out", 0) == OUT_OF_MEMORY
        assert calls.create(program, 1, device=0) == OUT_OF_MEMORY
        assert calls.create(program, GIB, device=1) == SUCCESS
        program.begin(1)
        pool = calls.make_pool(program, device=0)
        assert program.call("cuMemAllocFromPoolAsync", "out", 1, pool, 0) == OUT_OF_MEMORY
        assert machine.held(0) == 0


def test_a_program_that_closes_every_descriptor_is_still_counted(share: Share) -> None:
    with share.cuda() as careless, share.cuda() as other:
        kept = careless.ok("cuMemAlloc_v2", "out", GIB // 2)
        assert careless.ask({"close": "region"})["closed"] == 1
        assert other.call("cuMemAlloc_v2", "out", GIB // 2 + 1) == OUT_OF_MEMORY
        careless.ok("cuMemAlloc_v2", "out", GIB // 4)
        assert calls.free_and_total(other) == (GIB // 4, GIB)
        careless.ok("cuMemFree_v2", kept)
        assert calls.free_and_total(other) == (3 * GIB // 4, GIB) == calls.free_and_total(careless)


def test_a_newcomer_does_not_take_the_place_of_one_that_lost_its_descriptor(share: Share) -> None:
    with share.cuda() as careless, share.cuda() as other:
        careless.ok("cuMemAlloc_v2", "out", GIB // 2)
        other.ok("cuMemAlloc_v2", "out", MIB)
        careless.ask({"close": "region"})
        with share.cuda() as newcomer:
            newcomer.ok("cuMemAlloc_v2", "out", MIB)
            assert calls.free_and_total(other) == (GIB // 2 - 2 * MIB, GIB)
            careless.ok("cuMemAlloc_v2", "out", MIB)
            assert calls.free_and_total(other) == (GIB // 2 - 3 * MIB, GIB) == calls.free_and_total(newcomer)


def test_an_account_that_was_wiped_is_written_again_whole(share: Share) -> None:
    with share.cuda() as wiped, share.cuda() as other:
        wiped.ok("cuMemAlloc_v2", "out", GIB // 2)
        other.ok("cuMemAlloc_v2", "out", MIB)
        share.scribble(region.SIZE - region.SLOTS * 288, bytes(288))
        wiped.ok("cuMemAlloc_v2", "out", MIB)
        assert calls.free_and_total(other) == (GIB // 2 - 2 * MIB, GIB)
        assert {h.pid for h in region.holders(share.region)} == {wiped.process.pid, other.process.pid}


def test_a_descriptor_reused_for_another_file_is_left_alone(share: Share) -> None:
    with share.cuda() as careless:
        careless.ok("cuMemAlloc_v2", "out", MIB)
        number = careless.ask({"replace": "region"})["number"]
        with share.start() as child_of_nobody:
            child_of_nobody.begin()
            child_of_nobody.ok("cuMemAlloc_v2", "out", MIB)
        share.scribble(region.SIZE // 2, b"\xff" * 64)
        careless.ok("cuMemAlloc_v2", "out", MIB)
        assert os.readlink(f"/proc/{careless.process.pid}/fd/{number}") == "/dev/null"


def test_more_processes_than_slots_count_each_for_itself(share: Share, toolchain: Toolchain) -> None:
    occupy = (
        "import fcntl,struct,sys\n"
        "f=open(sys.argv[1],'r+b')\n"
        "fcntl.fcntl(f,fcntl.F_OFD_SETLK,struct.pack('@hhqqi4x',fcntl.F_WRLCK,0,0,256,0))\n"
        "print(flush=True);sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", occupy, str(share.region)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        with share.cuda() as program:
            assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY
            assert program.call("cuMemAlloc_v2", "out", GIB) == SUCCESS
            assert "held to the whole limit by itself" in program.end()
    finally:
        holder.communicate()
    assert HERE.exists()
