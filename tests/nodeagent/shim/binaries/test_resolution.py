"""However a program comes by its functions, the ones that get memory are ours, in the variant that it asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.calls import PER_THREAD
from tests.nodeagent.shim.harness.machine import (
    GIB,
    INVALID_VALUE,
    NOT_FOUND,
    OUT_OF_MEMORY,
    RTLD_DEEPBIND,
    RTLD_NOW,
    SUCCESS,
    Machine,
    Share,
    StandinGpu,
    gpu_uuid,
)
from tests.nodeagent.shim.harness.toolchain import HERE, Toolchain

RTLD_GLOBAL = 0x100

VARIANTS = [
    ("cuMemAlloc", 2000, 0, "cuMemAlloc"),
    ("cuMemAlloc", 3020, 0, "cuMemAlloc_v2"),
    ("cuMemAlloc", 13000, PER_THREAD, "cuMemAlloc_v2"),
    ("cuMemFree", 13000, 0, "cuMemFree_v2"),
    ("cuMemAllocAsync", 13000, 0, "cuMemAllocAsync"),
    ("cuMemAllocAsync", 13000, 1, "cuMemAllocAsync"),
    ("cuMemAllocAsync", 13000, PER_THREAD, "cuMemAllocAsync_ptsz"),
    ("cuMemFreeAsync", 13000, PER_THREAD, "cuMemFreeAsync_ptsz"),
    ("cuMemAllocFromPoolAsync", 13000, PER_THREAD, "cuMemAllocFromPoolAsync_ptsz"),
    ("cuStreamSynchronize", 13000, PER_THREAD, "cuStreamSynchronize_ptsz"),
    ("cuMemCreate", 13000, 0, "cuMemCreate"),
    ("cuArray3DCreate", 2000, 0, "cuArray3DCreate"),
    ("cuArray3DCreate", 13000, 0, "cuArray3DCreate_v2"),
    ("cuCtxCreate", 2000, 0, "cuCtxCreate"),
    ("cuCtxCreate", 12000, 0, "cuCtxCreate_v3"),
    ("cuCtxCreate", 13000, 0, "cuCtxCreate_v4"),
    ("cuMemGetInfo", 13000, 0, "cuMemGetInfo_v2"),
    ("cuGetProcAddress", 11030, 0, "cuGetProcAddress"),
    ("cuGetProcAddress", 13000, 0, "cuGetProcAddress_v2"),
]


@pytest.mark.parametrize("by", ["cuGetProcAddress", "cuGetProcAddress_v2"])
def test_the_driver_chooses_the_variant_and_ours_of_it_is_given(share: Share, by: str) -> None:
    with share.start() as program:
        for name, version, flags, expected in VARIANTS:
            found = program.resolve(name, version, flags, by)
            assert found["file"] == str(share.libraries / "libcuda.so.1"), (name, version, flags)
            assert found["name"] == expected


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("cuLaunchKernel", 0, "cuLaunchKernel"),
        ("cuLaunchKernel", PER_THREAD, "cuLaunchKernel_ptsz"),
        ("cuGraphLaunch", PER_THREAD, "cuGraphLaunch_ptsz"),
        ("cuDeviceGetCount", 0, "cuDeviceGetCount"),
    ],
)
def test_what_needs_no_bound_is_the_drivers_own(share: Share, name: str, flags: int, expected: str) -> None:
    with share.start() as program:
        for found in (program.resolve(name, flags=flags), program.resolve(expected, by="dlsym")):
            assert found["file"] == str(share.libraries / "migctl-driver-cuda.so.1")
            assert found["name"] == expected


def test_what_the_driver_lacks_stays_missing(share: Share) -> None:
    with share.start() as program:
        assert program.resolve("cuNoSuchThing")["code"] == NOT_FOUND
        assert program.resolve("cuMemAlloc", version=1000)["code"] == NOT_FOUND
        assert program.call("cuGetProcAddress_v2", {"text": "cuMemAlloc"}, "out", 3020, 0, None) == SUCCESS


@pytest.mark.parametrize(
    ("function", "size"),
    [("cuMemAllocAsync", 1), ("cuMemAllocAsync_ptsz", 1), ("cuMemAlloc_v2", 1), ("cuMemAllocManaged", 1)],
)
def test_the_drivers_own_variant_does_the_work(share: Share, function: str, size: int) -> None:
    with share.cuda() as program:
        before = program.call("standin_calls", {"text": function})
        program.ok(function, "out", size, 0)
        assert program.call("standin_calls", {"text": function}) == before + 1


@pytest.mark.parametrize("mode", [RTLD_NOW, RTLD_NOW | RTLD_DEEPBIND, RTLD_NOW | RTLD_GLOBAL])
@pytest.mark.parametrize("library", ["libcuda.so.1", "libcuda.so"])
def test_the_loaders_ways_all_lead_to_us(share: Share, mode: int, library: str) -> None:
    with share.start(mode=mode, library=library) as program:
        program.begin()
        assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY
        found = program.resolve("cuMemAlloc")
        assert program.call(found["number"], "out", GIB) == SUCCESS


def test_a_path_to_the_library_leads_to_us(share: Share) -> None:
    with share.start(library=str(share.libraries / "libcuda.so.1")) as program:
        program.begin()
        assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY


def test_a_program_linked_against_the_driver_is_bounded(share: Share, machine: Machine, toolchain: Toolchain) -> None:
    linked = toolchain.program("linked.c", "plain", (str(machine.drivers.cuda), "-Wl,--disable-new-dtags"))
    done = subprocess.run([linked, str(GIB)], env=share.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{GIB} bytes, then {OUT_OF_MEMORY}\n")


def test_a_null_pointer_is_the_drivers_to_refuse(share: Share) -> None:
    with share.cuda() as program:
        assert program.call("cuMemAlloc_v2", None, GIB) == INVALID_VALUE
        assert program.call("cuMemAllocAsync", None, GIB, 0) == INVALID_VALUE
        assert calls.free_and_total(program) == (GIB, GIB)


def test_what_an_older_driver_lacks_is_an_error_and_no_crash(
    tmp_path: Path, toolchain: Toolchain, ours: Libraries
) -> None:
    old = toolchain.standins("old", flags=("-Wl,--version-script", str(HERE / "standin" / "old.map")))
    machine = Machine.make(tmp_path / "old", old, [StandinGpu(gpu_uuid(0))])
    with machine.share("share", ours, GIB).cuda() as program:
        assert program.call("cuMemAllocAsync", "out", 1, 0) == 801
        assert program.call("cuMemCreate", "out", 1, calls.where(0), 0) == 801
        assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY
        assert program.call("cuMemAlloc_v2", "out", GIB) == SUCCESS
        assert calls.free_and_total(program) == (0, GIB)
