"""Every way to get GPU memory stops exactly at the limit, and what is freed can be had again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.calls import CHUNK, UNTOUCHED
from tests.nodeagent.shim.harness.machine import (
    GIB,
    MIB,
    NARROW_PITCH,
    OUT_OF_MEMORY,
    REFUSE,
    REFUSED,
    SUCCESS,
    WIDE_PITCH,
    Machine,
    Program,
    Share,
    StandinGpu,
    gpu_uuid,
)

LIMIT = GIB


@dataclass(frozen=True)
class Row:
    """A way to get `size` bytes and the call that gives them back."""

    name: str
    get: Callable[[Program, int], int]
    free: str
    unit: int = 1

    def __str__(self) -> str:
        return self.name


ROWS = [
    Row("plain", lambda p, n: p.call("cuMemAlloc_v2", "out", n), "cuMemFree_v2"),
    Row("managed", lambda p, n: p.call("cuMemAllocManaged", "out", n, 1), "cuMemFree_v2"),
    Row("vmm", calls.create, "cuMemRelease"),
    Row("array", lambda p, n: p.call("cuArrayCreate_v2", "out", calls.flat(n)), "cuArrayDestroy"),
    Row("array-v1", lambda p, n: p.call("cuArrayCreate", "out", calls.flat_v1(n)), "cuArrayDestroy"),
    Row("array-3d", lambda p, n: p.call("cuArray3DCreate_v2", "out", calls.solid(n)), "cuArrayDestroy"),
    Row("array-3d-v1", lambda p, n: p.call("cuArray3DCreate", "out", calls.solid_v1(n)), "cuArrayDestroy"),
    Row("mipmap", lambda p, n: p.call("cuMipmappedArrayCreate", "out", calls.solid(n), 1), "cuMipmappedArrayDestroy"),
    Row("pitch", lambda p, n: p.call("cuMemAllocPitch_v2", "out", "out", 512, n // 512, 4), "cuMemFree_v2", unit=512),
    Row("async", lambda p, n: p.call("cuMemAllocAsync", "out", n, 0), "cuMemFree_v2", unit=CHUNK),
    Row("async-ptsz", lambda p, n: p.call("cuMemAllocAsync_ptsz", "out", n, 0), "cuMemFree_v2", unit=CHUNK),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_last_byte_fits_and_the_next_does_not(share: Share, machine: Machine, row: Row) -> None:
    with share.cuda() as program:
        assert row.get(program, LIMIT - row.unit) == SUCCESS
        assert row.get(program, 2 * row.unit) == OUT_OF_MEMORY
        assert program.last_out[0] == UNTOUCHED
        assert row.get(program, row.unit) == SUCCESS
        assert row.get(program, row.unit) == OUT_OF_MEMORY
        assert machine.held() == machine.peak() == LIMIT


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_is_freed_can_be_had_again(share: Share, machine: Machine, row: Row) -> None:
    with share.cuda() as program:
        for _ in range(3):
            assert row.get(program, LIMIT) == SUCCESS
            assert program.call(row.free, program.last_out[0]) == SUCCESS
            assert machine.held() == 0
        assert calls.free_and_total(program) == (LIMIT, LIMIT)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_neighbour_has_the_rest(make_machine: MakeMachine, ours: Libraries, row: Row) -> None:
    machine, half = make_machine(StandinGpu(gpu_uuid(0), memory=2 * GIB)), GIB
    left, right = machine.share("left", ours, half), machine.share("right", ours, half)
    with left.cuda() as greedy, right.cuda() as neighbour:
        assert row.get(greedy, half) == SUCCESS
        assert row.get(greedy, row.unit) == OUT_OF_MEMORY
        assert row.get(neighbour, half) == SUCCESS
        assert machine.held() == 2 * half


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_refusal_of_the_driver_is_passed_on_and_costs_nothing(share: Share, machine: Machine, row: Row) -> None:
    with share.cuda() as program:
        machine.set_knobs(REFUSE)
        for _ in range(3):
            assert row.get(program, LIMIT) == REFUSED
        machine.set_knobs(0)
        assert row.get(program, LIMIT) == SUCCESS


def test_a_32_bit_request_counts_too(share: Share) -> None:
    with share.cuda() as program:
        assert program.call("cuMemAlloc", "out", LIMIT) == SUCCESS
        pointer = program.last_out[0] & 0xFFFFFFFF
        assert program.call("cuMemAllocPitch", "out", "out", 512, 1, 4) == OUT_OF_MEMORY
        assert program.call("cuMemFree", pointer) == SUCCESS
        assert program.call("cuMemAllocPitch", "out", "out", 512, LIMIT // 512, 4) == SUCCESS
        assert program.call("cuMemAlloc", "out", 1) == OUT_OF_MEMORY


def test_a_pitch_that_is_wider_than_foreseen_is_charged_or_refused(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), knobs=WIDE_PITCH)
    with machine.share("share", ours, 8 * 4096).cuda() as program:
        assert program.call("cuMemAllocPitch_v2", "out", "out", 100, 9, 4) == OUT_OF_MEMORY
        assert program.last_out[0] == UNTOUCHED
        assert machine.held() == 0
        assert program.call("cuMemAllocPitch_v2", "out", "out", 100, 8, 4) == SUCCESS
        assert program.call("cuMemAlloc_v2", "out", 1) == OUT_OF_MEMORY


def test_a_pitch_that_is_narrower_than_foreseen_costs_no_more_than_it_takes(
    make_machine: MakeMachine, ours: Libraries
) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), knobs=NARROW_PITCH)
    with machine.share("share", ours, LIMIT).cuda() as program:
        assert program.call("cuMemAllocPitch_v2", "out", "out", 100, 1000, 4) == SUCCESS
        assert calls.free_and_total(program)[0] == LIMIT - 128 * 1000 == LIMIT - machine.held()


def test_a_narrow_row_costs_its_pitch(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        assert program.call("cuMemAllocPitch_v2", "out", "out", 1, 10, 4) == SUCCESS
        assert calls.free_and_total(program)[0] == LIMIT - 5120 == LIMIT - machine.held()


@pytest.mark.parametrize(
    ("description", "levels"),
    [
        (calls.solid(640, 480, form=calls.FLOAT, channels=4), 4),
        (calls.solid(64, 32, 16), 99),
        (calls.solid(64, 64, 6, flags=calls.LAYERED), 99),
    ],
    ids=["flat", "solid-every-level", "layered-every-level"],
)
def test_every_level_of_a_mipmap_counts(share: Share, machine: Machine, description: object, levels: int) -> None:
    with share.cuda() as program:
        program.ok("cuMipmappedArrayCreate", "out", description, levels)
        assert machine.held() > 0
        assert calls.free_and_total(program)[0] == LIMIT - machine.held()


@pytest.mark.parametrize(
    ("form", "channels", "bits"),
    [(0x91, 4, 4), (0x95, 4, 8), (0x9B, 3, 8), (0xB0, 3, 12), (0xC2, 4, 32), (0xC4, 2, 32), (0x10, 4, 64)],
)
def test_formats_cost_what_their_texels_take(
    share: Share, machine: Machine, form: int, channels: int, bits: int
) -> None:
    texels = 96 * MIB * 8 // bits
    with share.cuda() as program:
        assert program.call("cuMemAlloc_v2", "out", LIMIT - 96 * MIB) == SUCCESS
        assert program.call("cuArrayCreate_v2", "out", calls.flat(texels + 2, 1, form, channels)) == OUT_OF_MEMORY
        assert program.call("cuArrayCreate_v2", "out", calls.flat(texels, 1, form, channels)) == SUCCESS
        assert machine.held() == LIMIT


def test_a_sparse_array_is_an_address_only(share: Share) -> None:
    with share.cuda() as program:
        assert program.call("cuArray3DCreate_v2", "out", calls.solid(GIB, 8, flags=calls.SPARSE)) == SUCCESS
        assert calls.free_and_total(program)[0] == LIMIT


def test_sizes_that_overflow_are_refused(share: Share) -> None:
    with share.cuda() as program:
        for size in (2**64 - 1, 2**63, 2**64 - CHUNK):
            for row in ROWS[:3]:
                assert row.get(program, size) == OUT_OF_MEMORY
            assert program.call("cuMemAllocAsync", "out", size, 0) == OUT_OF_MEMORY
        assert program.call("cuMemAllocPitch_v2", "out", "out", 2**40, 2**40, 4) == OUT_OF_MEMORY
        assert program.call("cuArray3DCreate_v2", "out", calls.solid(2**32, 2**32, 2**32)) == OUT_OF_MEMORY
        assert calls.free_and_total(program)[0] == LIMIT


def test_host_memory_imports_and_neighbours_pointers_are_not_charged(share: Share) -> None:
    with share.cuda() as program:
        assert program.call("cuMemAllocHost_v2", "out", 4096) == SUCCESS
        assert calls.create(program, 8 * GIB, kind=calls.HOST) == SUCCESS
        opened = program.ok("cuIpcOpenMemHandle_v2", "out", {"bytes": "00" * 64}, 1)
        imported = program.ok("cuMemImportFromShareableHandle", "out", 0, 1)
        address = program.ok("cuMemAddressReserve", "out", 2 * MIB, 0, 0, 0)
        assert program.call("cuMemMap", address, 2 * MIB, 0, imported, 0) == SUCCESS
        assert calls.free_and_total(program) == (LIMIT, LIMIT)
        assert program.call("cuMemUnmap", address, 2 * MIB) == SUCCESS
        assert program.call("cuMemRelease", imported) == SUCCESS
        assert program.call("cuMemFree_v2", opened) == 1  # the driver's own answer to a pointer it did not make
        assert calls.free_and_total(program) == (LIMIT, LIMIT)
