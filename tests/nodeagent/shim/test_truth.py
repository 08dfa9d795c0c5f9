"""Random programs: after every call the books equal what the stand-in driver really holds, and no refusal is false."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from nodeagent.shim import region
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.calls import CHUNK
from tests.nodeagent.shim.harness.machine import GIB, MIB, OUT_OF_MEMORY, SUCCESS, Machine, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain

LIMIT = {0: GIB, 1: 600 * MIB}
CONTEXT = 40 * MIB
KEEP = 4
SIZES = st.one_of(st.integers(1, 4 * MIB), st.integers(1, 700 * MIB), st.sampled_from([CHUNK, CHUNK - 1, CHUNK + 1]))
PICK = st.integers(0, 1000)
WHO = st.integers(0, 1)


class TwoPrograms(RuleBasedStateMachine):
    """Two programs of one workload on two GPUs. What they hold is picked from lists, stale entries included."""

    machine: Machine
    ours: Libraries
    names = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.open = contextlib.ExitStack()
        self.share = self.machine.share(f"share-{next(self.names)}", self.ours, LIMIT)
        self.programs = [self.open.enter_context(self.share.start()) for _ in range(2)]
        for program in self.programs:
            program.begin(0)
        self.device = [0, 0]
        self.held: dict[tuple[int, str], list[int]] = {}

    def teardown(self) -> None:
        self.open.close()

    def keep(self, who: int, kind: str, result: int, size: int) -> None:
        """Remember what a call gave; a refusal must be one that the limit demands."""
        program = self.programs[who]
        if result == SUCCESS:
            self.held.setdefault((who, kind), []).append(program.last_out[0])
        elif result == OUT_OF_MEMORY:
            device = self.device[who]
            assert self.machine.held(device) + size > LIMIT[device], f"{size} bytes more would fit"

    def pick(self, who: int, kind: str, which: int, *, remove: bool = False) -> int | None:
        held = self.held.get((who, kind))
        if not held:
            return None
        return held.pop(which % len(held)) if remove else held[which % len(held)]

    @rule(who=WHO, size=SIZES, how=st.sampled_from(["cuMemAlloc_v2", "cuMemAllocManaged"]))
    def allocate(self, who: int, size: int, how: str) -> None:
        self.keep(who, "memory", self.programs[who].call(how, "out", size, 1), size)

    @rule(who=WHO, width=st.integers(1, 5000), height=st.integers(1, 5000))
    def allocate_rows(self, who: int, width: int, height: int) -> None:
        result = self.programs[who].call("cuMemAllocPitch_v2", "out", "out", width, height, 4)
        self.keep(who, "memory", result, -(-width // 512) * 512 * height)

    @rule(who=WHO, width=st.integers(1, 4000), height=st.integers(0, 4000), channels=st.sampled_from([1, 2, 4]))
    def make_array(self, who: int, width: int, height: int, channels: int) -> None:
        result = self.programs[who].call("cuArrayCreate_v2", "out", calls.flat(width, height, calls.FLOAT, channels))
        self.keep(who, "array", result, width * max(height, 1) * 4 * channels)

    @rule(who=WHO, extent=st.tuples(*[st.integers(0, 300)] * 3), levels=st.integers(1, 10))
    def make_mipmap(self, who: int, extent: tuple[int, int, int], levels: int) -> None:
        result = self.programs[who].call("cuMipmappedArrayCreate", "out", calls.solid(*extent), levels)
        self.keep(who, "mipmap", result, 2 * max(extent[0], 1) * max(extent[1], 1) * max(extent[2], 1))

    @rule(
        who=WHO,
        which=PICK,
        end=st.sampled_from(
            [("memory", "cuMemFree_v2"), ("array", "cuArrayDestroy"), ("mipmap", "cuMipmappedArrayDestroy")]
        ),
    )
    def free(self, who: int, which: int, end: tuple[str, str]) -> None:
        if (key := self.pick(who, end[0], which, remove=True)) is not None:
            self.programs[who].call(end[1], key)

    @rule(who=WHO, size=SIZES, thread=st.sampled_from(["", "_ptsz"]))
    def draw(self, who: int, size: int, thread: str) -> None:
        self.keep(who, "memory", self.programs[who].call(f"cuMemAllocAsync{thread}", "out", size, 0), size + CHUNK)

    @rule(who=WHO, size=SIZES, which=PICK)
    def draw_from(self, who: int, size: int, which: int) -> None:
        if (pool := self.pick(who, "pool", which)) is not None:
            self.programs[who].call("cuMemAllocFromPoolAsync", "out", size, pool, 0)
            if self.programs[who].last_out[0] != calls.UNTOUCHED:
                self.held.setdefault((who, "memory"), []).append(self.programs[who].last_out[0])

    @rule(who=WHO, which=PICK, thread=st.sampled_from(["", "_ptsz"]))
    def free_later(self, who: int, which: int, thread: str) -> None:
        if (pointer := self.pick(who, "memory", which)) is not None:
            self.programs[who].call(f"cuMemFreeAsync{thread}", pointer, 0)

    @rule(who=WHO)
    def wait(self, who: int) -> None:
        self.programs[who].call("cuCtxSynchronize")

    @rule(who=WHO)
    def make_pool(self, who: int) -> None:
        pool = calls.make_pool(self.programs[who], self.device[who])
        self.held.setdefault((who, "pool"), []).append(pool)

    @rule(who=WHO, which=PICK, keep=st.sampled_from([0, CHUNK, 2**40]))
    def keep_in_pool(self, who: int, which: int, keep: int) -> None:
        if (pool := self.pick(who, "pool", which)) is not None:
            self.programs[who].ok("cuMemPoolSetAttribute", pool, KEEP, {"bytes": keep.to_bytes(8, "little").hex()})

    @rule(who=WHO, which=PICK, keep=st.integers(0, 4 * CHUNK))
    def trim(self, who: int, which: int, keep: int) -> None:
        if (pool := self.pick(who, "pool", which)) is not None:
            self.programs[who].ok("cuMemPoolTrimTo", pool, keep)

    @rule(who=WHO, which=PICK)
    def destroy_pool(self, who: int, which: int) -> None:
        if (pool := self.pick(who, "pool", which, remove=True)) is not None:
            self.programs[who].ok("cuMemPoolDestroy", pool)

    @rule(who=WHO, size=SIZES)
    def make_apart(self, who: int, size: int) -> None:
        result = calls.create(self.programs[who], size, self.device[who])
        self.keep(who, "handle", result, size)

    @rule(who=WHO, which=PICK, pieces=st.integers(1, 3))
    def map(self, who: int, which: int, pieces: int) -> None:
        if (handle := self.pick(who, "handle", which)) is None:
            return
        program = self.programs[who]
        address = program.ok("cuMemAddressReserve", "out", pieces * MIB, 0, 0, 0)
        if all(program.call("cuMemMap", address + i * MIB, MIB, 0, handle, 0) == SUCCESS for i in range(pieces)):
            self.held.setdefault((who, "mapping"), []).append(address << 8 | pieces)

    @rule(who=WHO, which=PICK)
    def unmap(self, who: int, which: int) -> None:
        if (mapping := self.pick(who, "mapping", which, remove=True)) is not None:
            self.programs[who].ok("cuMemUnmap", mapping >> 8, (mapping & 255) * MIB)

    @rule(who=WHO, which=PICK, inside=st.integers(0, MIB - 1))
    def retain(self, who: int, which: int, inside: int) -> None:
        if (mapping := self.pick(who, "mapping", which)) is not None:
            result = self.programs[who].call("cuMemRetainAllocationHandle", "out", (mapping >> 8) + inside)
            self.keep(who, "handle", result, 0)

    @rule(who=WHO, which=PICK)
    def release(self, who: int, which: int) -> None:
        if (handle := self.pick(who, "handle", which)) is not None:
            self.programs[who].call("cuMemRelease", handle)

    @rule(who=WHO, device=st.integers(0, 1))
    def make_context(self, who: int, device: int) -> None:
        result = self.programs[who].call("cuCtxCreate_v2", "out", 0, device)
        if result == SUCCESS:
            self.held.setdefault((who, "context"), []).append(self.programs[who].last_out[0])
            self.device[who] = device

    @rule(who=WHO, which=PICK)
    def destroy_context(self, who: int, which: int) -> None:
        if (context := self.pick(who, "context", which, remove=True)) is not None:
            self.programs[who].ok("cuCtxDestroy_v2", context)
            self.use_primary(who, self.device[who])

    @rule(who=WHO, device=st.integers(0, 1))
    def use_primary(self, who: int, device: int) -> None:
        program = self.programs[who]
        if program.call("cuDevicePrimaryCtxRetain", "out", device) == SUCCESS:
            program.ok("cuCtxSetCurrent", program.last_out[0])
            self.device[who] = device

    @precondition(lambda self: True)
    @rule(who=WHO, device=st.integers(0, 1), how=st.sampled_from(["Release_v2", "Reset_v2", "Release_v2"]))
    def leave_primary(self, who: int, device: int, how: str) -> None:
        self.programs[who].call(f"cuDevicePrimaryCtx{how}", device)

    @invariant()
    def the_books_are_true(self) -> None:
        for program in self.programs:
            program.call("cuMemGetInfo_v2", "out", "out")
        live = region.holders(self.share.region)
        for number, gpu in enumerate(self.machine.gpus):
            accounts = [holder.gpus[gpu.uuid] for holder in live if gpu.uuid in holder.gpus]
            booked = sum(a.memory + a.contexts * CONTEXT for a in accounts)
            assert booked == self.machine.held(number) <= LIMIT[number]
            assert self.machine.peak(number) <= LIMIT[number]


@pytest.mark.parametrize("examples", [40])
def test_random_programs(toolchain: Toolchain, ours: Libraries, tmp_path: Path, examples: int) -> None:
    gpus = [StandinGpu(gpu_uuid(n), context=CONTEXT) for n in range(2)]
    made = Machine.make(tmp_path / "machine", toolchain.standins(), gpus)
    case = type("Case", (TwoPrograms,), {"machine": made, "ours": ours})
    run_state_machine_as_test(
        case,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
