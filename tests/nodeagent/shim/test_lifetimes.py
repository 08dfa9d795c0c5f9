"""Memory counts exactly as long as the driver keeps it: contexts, memory apart from its address, retries."""

from __future__ import annotations

import pytest

from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import (
    GIB,
    INVALID_VALUE,
    MIB,
    OUT_OF_MEMORY,
    SUCCESS,
    Machine,
    Program,
    Share,
    StandinGpu,
    gpu_uuid,
)

CONTEXT = 256 * MIB


@pytest.fixture
def costly(make_machine: MakeMachine) -> Machine:
    """A GPU whose contexts take 256 MiB each."""
    return make_machine(StandinGpu(gpu_uuid(0), context=CONTEXT))


def free(program: Program) -> int:
    return calls.free_and_total(program)[0]


def test_a_primary_context_is_paid_from_the_share_once(costly: Machine, ours: Libraries) -> None:
    with costly.share("share", ours, GIB).cuda() as program:
        assert program.call("cuDevicePrimaryCtxRetain", "out", 0) == SUCCESS
        assert program.call("cuMemAlloc_v2", "out", GIB - CONTEXT + 1) == OUT_OF_MEMORY
        assert program.call("cuMemAlloc_v2", "out", GIB - CONTEXT) == SUCCESS
        assert costly.held() == GIB


def test_a_context_that_does_not_fit_is_refused(costly: Machine, ours: Libraries) -> None:
    with costly.share("share", ours, CONTEXT - 1).start() as program:
        program.ok("cuInit", 0)
        assert program.call("cuDevicePrimaryCtxRetain", "out", 0) == OUT_OF_MEMORY
        assert program.call("cuCtxCreate_v2", "out", 0, 0) == OUT_OF_MEMORY
        assert costly.held() == 0


@pytest.mark.parametrize("end", ["cuDevicePrimaryCtxRelease_v2", "cuDevicePrimaryCtxRelease"])
def test_the_last_release_of_a_primary_context_frees_all_it_held(costly: Machine, ours: Libraries, end: str) -> None:
    with costly.share("share", ours, GIB).cuda() as program:
        program.ok("cuDevicePrimaryCtxRetain", "out", 0)
        program.ok("cuMemAlloc_v2", "out", GIB // 2)
        program.ok(end, 0)
        assert costly.held() == CONTEXT + GIB // 2
        assert program.call("cuMemAlloc_v2", "out", GIB // 2) == OUT_OF_MEMORY
        program.ok(end, 0)
        assert costly.held() == 0
        program.begin()
        assert free(program) == GIB - CONTEXT


@pytest.mark.parametrize("end", ["cuDevicePrimaryCtxReset_v2", "cuDevicePrimaryCtxReset"])
def test_a_reset_frees_whatever_the_uses(costly: Machine, ours: Libraries, end: str) -> None:
    with costly.share("share", ours, GIB).cuda() as program:
        program.ok("cuDevicePrimaryCtxRetain", "out", 0)
        program.ok("cuMemAlloc_v2", "out", MIB)
        program.ok("cuArrayCreate_v2", "out", calls.flat(MIB))
        program.ok(end, 0)
        program.begin()
        assert costly.held() == CONTEXT
        assert free(program) == GIB - CONTEXT


@pytest.mark.parametrize(
    ("make", "middle"),
    [("cuCtxCreate_v4", (0, 0)), ("cuCtxCreate_v3", (0, 0, 0)), ("cuCtxCreate_v2", (0,)), ("cuCtxCreate", (0,))],
)
@pytest.mark.parametrize("end", ["cuCtxDestroy_v2", "cuCtxDestroy"])
def test_a_made_context_costs_and_takes_its_memory_along(
    costly: Machine, ours: Libraries, make: str, middle: tuple[int, ...], end: str
) -> None:
    with costly.share("share", ours, GIB).cuda() as program:
        kept = program.ok("cuMemAlloc_v2", "out", MIB)
        context = program.ok(make, "out", *middle, 0)
        assert costly.held() == 2 * CONTEXT + MIB
        program.ok("cuMemAlloc_v2", "out", 2 * MIB)
        assert free(program) == GIB - 2 * CONTEXT - 3 * MIB
        program.ok(end, context)
        assert program.call(end, context) != SUCCESS
        program.begin()
        assert free(program) == GIB - CONTEXT - MIB == GIB - costly.held()
        assert program.call("cuMemFree_v2", kept) == SUCCESS
        assert free(program) == GIB - CONTEXT


def test_three_contexts_fit_and_a_fourth_does_not(costly: Machine, ours: Libraries) -> None:
    with costly.share("share", ours, 3 * CONTEXT).start() as program:
        program.ok("cuInit", 0)
        made = [program.ok("cuCtxCreate_v2", "out", 0, 0) for _ in range(3)]
        assert program.call("cuCtxCreate_v2", "out", 0, 0) == OUT_OF_MEMORY
        program.ok("cuCtxDestroy_v2", made[1])
        program.ok("cuCtxCreate_v2", "out", 0, 0)


def test_made_memory_lives_until_handle_and_mapping_are_gone(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        handle = program.ok("cuMemCreate", "out", MIB, calls.where(0), 0)
        address = program.ok("cuMemAddressReserve", "out", MIB, 0, 0, 0)
        program.ok("cuMemMap", address, MIB, 0, handle, 0)
        program.ok("cuMemRelease", handle)
        assert free(program) == GIB - MIB == GIB - machine.held()
        assert program.call("cuMemRelease", handle) == INVALID_VALUE
        program.ok("cuMemUnmap", address, MIB)
        assert free(program) == GIB == GIB - machine.held()


def test_a_handle_outlives_its_mappings(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        handle = program.ok("cuMemCreate", "out", MIB, calls.where(0), 0)
        address = program.ok("cuMemAddressReserve", "out", 2 * MIB, 0, 0, 0)
        program.ok("cuMemMap", address, MIB, 0, handle, 0)
        program.ok("cuMemMap", address + MIB, MIB, 0, handle, 0)
        program.ok("cuMemUnmap", address, 2 * MIB)
        assert free(program) == GIB - MIB
        program.ok("cuMemRelease", handle)
        assert free(program) == GIB == GIB - machine.held()


@pytest.mark.parametrize("inside", [0, 12345], ids=["start", "interior"])
def test_a_retained_handle_keeps_memory(share: Share, machine: Machine, inside: int) -> None:
    with share.cuda() as program:
        handle = program.ok("cuMemCreate", "out", MIB, calls.where(0), 0)
        address = program.ok("cuMemAddressReserve", "out", MIB, 0, 0, 0)
        program.ok("cuMemMap", address, MIB, 0, handle, 0)
        program.ok("cuMemRelease", handle)
        again = program.ok("cuMemRetainAllocationHandle", "out", address + inside)
        more = program.ok("cuMemRetainAllocationHandle", "out", address + inside)
        program.ok("cuMemUnmap", address, MIB)
        program.ok("cuMemRelease", again)
        assert free(program) == GIB - MIB == GIB - machine.held()
        program.ok("cuMemRelease", more)
        assert free(program) == GIB == GIB - machine.held()


def test_a_range_over_an_imported_mapping_is_unmapped_whole(share: Share, machine: Machine) -> None:
    size = 2 * MIB
    with share.cuda() as program:
        own = [program.ok("cuMemCreate", "out", size, calls.where(0), 0) for _ in range(2)]
        imported = program.ok("cuMemImportFromShareableHandle", "out", 0, 1)
        address = program.ok("cuMemAddressReserve", "out", 3 * size, 0, 0, 0)
        for place, handle in enumerate((own[0], imported, own[1])):
            program.ok("cuMemMap", address + place * size, size, 0, handle, 0)
            program.ok("cuMemRelease", handle)
        assert program.call("cuMemUnmap", address, size + 1) == INVALID_VALUE
        assert free(program) == GIB - 2 * size == GIB - machine.held()
        program.ok("cuMemUnmap", address, 3 * size)
        assert free(program) == GIB == GIB - machine.held()


def test_expandable_segments_grow_and_shrink_to_the_byte(share: Share, machine: Machine) -> None:
    """PyTorch's expandable segments: create, map, release the handle, unmap piece by piece."""
    piece, pieces = 20 * MIB, GIB // (20 * MIB)
    with share.cuda() as program:
        address = program.ok("cuMemAddressReserve", "out", GIB, 0, 0, 0)
        for _ in range(2):
            for i in range(pieces):
                handle = program.ok("cuMemCreate", "out", piece, calls.where(0), 0)
                program.ok("cuMemMap", address + i * piece, piece, 0, handle, 0)
                program.ok("cuMemRelease", handle)
            assert calls.create(program, piece) == OUT_OF_MEMORY
            assert free(program) == GIB - pieces * piece == GIB - machine.held()
            for i in reversed(range(pieces)):
                program.ok("cuMemUnmap", address + i * piece, piece)
            assert free(program) == GIB == GIB - machine.held()


def test_a_thousand_pointers_are_told_apart(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        pointers = [program.ok("cuMemAlloc_v2", "out", 1000 + i) for i in range(1000)]
        for pointer in pointers[::2]:
            program.ok("cuMemFree_v2", pointer)
        assert free(program) == GIB - sum(1000 + i for i in range(1, 1000, 2)) == GIB - machine.held()
        for pointer in pointers[1::2]:
            program.ok("cuMemFree_v2", pointer)
        assert free(program) == GIB


def test_a_pointer_freed_twice_gives_back_once(share: Share) -> None:
    with share.cuda() as program:
        kept = program.ok("cuMemAlloc_v2", "out", MIB)
        pointer = program.ok("cuMemAlloc_v2", "out", MIB)
        program.ok("cuMemFree_v2", pointer)
        assert program.call("cuMemFree_v2", pointer) == INVALID_VALUE
        assert program.call("cuMemFree_v2", 0) == INVALID_VALUE
        assert free(program) == GIB - MIB
        program.ok("cuMemFree_v2", kept)
