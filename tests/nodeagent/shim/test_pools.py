"""Stream-ordered memory: the share pays for what a pool has reserved, to the byte, whenever that changes."""

from __future__ import annotations

import pytest

from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.calls import CHUNK
from tests.nodeagent.shim.harness.machine import (
    FRAGMENTED_POOLS,
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

KEEP = 4  # the attribute CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
ALWAYS = {"bytes": "ff" * 8}


def free(program: Program) -> int:
    return calls.free_and_total(program)[0]


def test_a_small_request_costs_a_chunk_and_more_of_it_nothing(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        for _ in range(10):
            program.ok("cuMemAllocAsync", "out", MIB, 0)
            assert free(program) == GIB - CHUNK == GIB - machine.held()


@pytest.mark.parametrize(
    "wait",
    [("cuStreamSynchronize", 0), ("cuStreamSynchronize_ptsz", 0), ("cuEventSynchronize", 0), ("cuCtxSynchronize",)],
)
def test_idle_memory_goes_back_when_the_program_waits(share: Share, machine: Machine, wait: tuple[str, int]) -> None:
    with share.cuda() as program, share.cuda() as neighbour:
        pointer = program.ok("cuMemAllocAsync", "out", GIB, 0)
        program.ok("cuMemFreeAsync", pointer, 0)
        assert neighbour.call("cuMemAlloc_v2", "out", MIB) == OUT_OF_MEMORY
        program.ok(*wait)
        assert machine.held() == 0
        assert neighbour.call("cuMemAlloc_v2", "out", GIB) == SUCCESS


def test_a_pool_that_keeps_its_memory_keeps_its_charge(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        program.ok("cuMemPoolSetAttribute", program.ok("cuDeviceGetDefaultMemPool", "out", 0), KEEP, ALWAYS)
        pointer = program.ok("cuMemAllocAsync", "out", 10 * CHUNK, 0)
        program.ok("cuMemFreeAsync", pointer, 0)
        program.ok("cuStreamSynchronize", 0)
        assert free(program) == GIB - 10 * CHUNK == GIB - machine.held()


def test_kept_memory_is_handed_back_before_a_request_is_refused(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        program.ok("cuMemPoolSetAttribute", program.ok("cuDeviceGetDefaultMemPool", "out", 0), KEEP, ALWAYS)
        pointer = program.ok("cuMemAllocAsync", "out", GIB, 0)
        program.ok("cuMemFreeAsync", pointer, 0)
        program.ok("cuStreamSynchronize", 0)
        assert machine.held() == GIB
        assert program.call("cuMemAlloc_v2", "out", GIB - CHUNK) == SUCCESS
        assert machine.held() == GIB - CHUNK


def test_what_is_free_inside_a_full_pool_can_be_had(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        kept = program.ok("cuMemAllocAsync", "out", GIB - CHUNK // 2, 0)
        assert machine.held() == GIB
        assert program.call("cuMemAllocAsync", "out", CHUNK // 2 + 1, 0) == OUT_OF_MEMORY
        assert program.call("cuMemAllocAsync", "out", CHUNK // 2, 0) == SUCCESS
        assert machine.peak() == GIB
        program.ok("cuMemFreeAsync", kept, 0)


def test_a_pool_that_grows_unforeseen_is_undone_and_refused(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), knobs=FRAGMENTED_POOLS)
    with machine.share("share", ours, GIB).cuda() as program:
        assert program.call("cuMemAllocAsync", "out", GIB - CHUNK // 2, 0) == SUCCESS
        assert program.call("cuMemAllocAsync", "out", CHUNK // 4, 0) == OUT_OF_MEMORY
        assert program.last_out == [calls.UNTOUCHED]
        assert machine.held() == GIB == GIB - free(program)


def test_made_pools_count_each_for_itself(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        pools = [calls.make_pool(program) for _ in range(20)]
        for pool in pools:
            program.ok("cuMemAllocFromPoolAsync", "out", 1, pool, 0)
            program.ok("cuMemAllocFromPoolAsync_ptsz", "out", 1, pool, 0)
        assert free(program) == GIB - 20 * CHUNK == GIB - machine.held()
        assert program.call("cuMemAllocFromPoolAsync", "out", 13 * CHUNK, pools[0], 0) == OUT_OF_MEMORY


def test_a_destroyed_pool_is_paid_for_until_its_last_pointer(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        pool = calls.make_pool(program)
        pointers = [program.ok("cuMemAllocFromPoolAsync", "out", CHUNK, pool, 0) for _ in range(2)]
        program.ok("cuMemPoolDestroy", pool)
        program.ok("cuMemFreeAsync_ptsz", pointers[0], 0)
        assert free(program) == GIB - 2 * CHUNK == GIB - machine.held()
        program.ok("cuMemFree_v2", pointers[1])
        assert free(program) == GIB == GIB - machine.held()
        empty = calls.make_pool(program)
        program.ok("cuMemPoolDestroy", empty)
        assert free(program) == GIB


def test_a_default_pool_cannot_be_destroyed_and_goes_on(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        program.ok("cuMemAllocAsync", "out", 1, 0)
        assert program.call("cuMemPoolDestroy", program.ok("cuDeviceGetDefaultMemPool", "out", 0)) != SUCCESS
        program.ok("cuMemAllocAsync", "out", CHUNK, 0)
        assert free(program) == GIB - 2 * CHUNK == GIB - machine.held()


def test_a_pool_set_as_the_devices_own_is_used_and_charged(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        pool = calls.make_pool(program)
        program.ok("cuDeviceSetMemPool", 0, pool)
        program.ok("cuMemAllocAsync", "out", 5 * CHUNK, 0)
        assert calls.reserved(program, pool) == 5 * CHUNK
        assert free(program) == GIB - 5 * CHUNK == GIB - machine.held()


def test_trimming_gives_back(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        pool = calls.make_pool(program)
        program.ok("cuMemPoolSetAttribute", pool, KEEP, ALWAYS)
        pointer = program.ok("cuMemAllocFromPoolAsync", "out", 8 * CHUNK, pool, 0)
        program.ok("cuMemFreeAsync", pointer, 0)
        program.ok("cuStreamSynchronize", 0)
        program.ok("cuMemPoolTrimTo", pool, 3 * CHUNK)
        assert free(program) == GIB - 3 * CHUNK == GIB - machine.held()


def test_a_pool_of_host_memory_is_not_charged(share: Share) -> None:
    with share.cuda() as program:
        pool = calls.make_pool(program, kind=calls.HOST)
        pointer = program.ok("cuMemAllocFromPoolAsync", "out", 8 * GIB, pool, 0)
        assert free(program) == GIB
        program.ok("cuMemFreeAsync", pointer, 0)


def test_the_primary_contexts_end_takes_idle_pool_memory_along(share: Share, machine: Machine) -> None:
    with share.cuda() as program:
        program.ok("cuMemPoolSetAttribute", program.ok("cuDeviceGetDefaultMemPool", "out", 0), KEEP, ALWAYS)
        pointer = program.ok("cuMemAllocAsync", "out", CHUNK, 0)
        program.ok("cuMemFreeAsync", pointer, 0)
        program.ok("cuDevicePrimaryCtxReset_v2", 0)
        program.begin()
        assert free(program) == GIB == GIB - machine.held()


def test_a_stream_draws_from_its_own_devices_pool(make_machine: MakeMachine, ours: Libraries) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0)), StandinGpu(gpu_uuid(1)))
    with machine.share("share", ours, {0: GIB, 1: 4 * CHUNK}).cuda(device=1) as program:
        on_primary = program.ok("cuStreamCreate", "out", 0)
        program.ok("cuCtxCreate_v2", "out", 0, 1)
        on_made = program.ok("cuStreamCreate", "out", 0)
        program.begin(device=0)
        assert program.call("cuMemAllocAsync", "out", 5 * CHUNK, on_primary) == OUT_OF_MEMORY
        assert program.call("cuMemAllocAsync", "out", 2 * CHUNK, on_made) == SUCCESS
        assert program.call("cuMemAllocAsync", "out", 3 * CHUNK, on_primary) == OUT_OF_MEMORY
        assert program.call("cuMemAllocAsync", "out", 3 * CHUNK, 0) == SUCCESS
        assert (machine.held(0), machine.held(1)) == (3 * CHUNK, 2 * CHUNK)
        assert free(program) == GIB - 3 * CHUNK
