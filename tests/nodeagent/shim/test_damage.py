"""Damaged files never crash a program, never hang it, and never give it more than its limit."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.shim import region
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import GIB, MIB, OUT_OF_MEMORY, SUCCESS, Machine, Share

LOCK_AT, HIGH_AT = 12, 16
HEADER = region.SIZE - region.SLOTS * 288


def refused(share: Share) -> str:
    """What a program that gets no memory at all says to stderr."""
    with share.start() as program:
        program.ok("cuInit", 0)
        assert program.call("cuDevicePrimaryCtxRetain", "out", 0) == OUT_OF_MEMORY
        assert program.call("cuCtxCreate_v2", "out", 0, 0) == OUT_OF_MEMORY
        assert calls.create(program, 1) == OUT_OF_MEMORY
        assert program.ok("cuDeviceTotalMem_v2", "out", 0) == 0
        return program.end()


def test_without_a_limits_file_nothing_is_given(share: Share) -> None:
    share.limits.unlink()
    said = refused(share)
    assert said.count("\n") == 1
    assert "GPU memory is refused" in said
    assert str(share.limits) in said
    assert "No such file" in said


UUID = "GPU-9e3779b9-7f4a-7c15-f39c-c0605cedc835"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "migctl limits 2\nregion /x\n",
        "migctl limits 1\n",
        "migctl limits 1\nregion /x\n",
        "migctl limits 1\nregion x\ngpu {uuid} memory 1 context 0 reserved 0\n",
        "migctl limits 1\nregion /x\ngpu {uuid} memory 1 context 0 reserved 0",
        "migctl limits 1\nregion /x\ngpu {uuid} memory 1\n",
        "migctl limits 1\nregion /x\ngpu {uuid} memory -1 context 0 reserved 0\n",
        "migctl limits 1\nregion /x\ngpu {uuid} memory 99999999999999999999 context 0 reserved 0\n",
        "migctl limits 1\nregion /x\n" + "gpu {uuid} memory 1 context 0 reserved 0\n" * 2,
        "migctl limits 1\nregion /x\ngpu GPU-xyz memory 1 context 0 reserved 0\n",
        "migctl limits 1\nregion /x\ngpu {uuid}0 memory 1 context 0 reserved 0\n",
        "migctl limits 1\nregion /x\ngpu {uuid} memory 1 context 0 reserved 0\n\n",
        "migctl limits 1\nregion /x\n" + "gpu {uuid} memory 1 context 0 reserved 0\n" * 200,
        "migctl limits 1\nregion /" + "x" * 1024 + "\ngpu {uuid} memory 1 context 0 reserved 0\n",
    ],
)
def test_a_damaged_limits_file_gives_nothing(share: Share, machine: Machine, text: str) -> None:
    share.limits.write_text(text.format(uuid=machine.gpus[0].uuid))
    said = refused(share)
    assert said.count("\n") == 1
    assert "GPU memory is refused" in said


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), cut=st.integers(0, 200))
def test_no_limits_file_crashes_a_program(share: Share, content: bytes, cut: int) -> None:
    share.limits.write_bytes(b"migctl limits 1\nregion /x\ngpu GPU-"[: cut or None] + content)
    refused(share)


def test_the_limits_are_those_at_the_first_use(share: Share) -> None:
    with share.cuda() as program:
        share.limits.unlink()
        assert program.call("cuMemAlloc_v2", "out", GIB) == SUCCESS


@pytest.mark.parametrize("harm", ["missing", "short", "long", "magic", "other gpus", "a folder"])
def test_an_unusable_region_leaves_each_process_the_whole_limit(share: Share, harm: str) -> None:
    content = share.region.read_bytes()
    match harm:
        case "missing" | "a folder":
            share.region.unlink()
            if harm == "a folder":
                share.region.mkdir()
        case "short":
            share.region.write_bytes(content[:-1])
        case "long":
            share.region.write_bytes(content + b"\0")
        case "magic":
            share.scribble(7, b"0")
        case "other gpus":
            share.scribble(24, bytes(16))
    with share.cuda() as first, share.cuda() as second:
        for program in (first, second):
            assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY
            assert program.call("cuMemAlloc_v2", "out", GIB) == SUCCESS
            assert calls.free_and_total(program) == (0, GIB)
        said = first.end()
        assert said.count("\n") == 1
        assert "held to the whole limit by itself" in said


@pytest.mark.parametrize("word", [1, 200, 256, 257, 0x7FFFFFFF, 0x80000000, 0x80000002, 0xFFFFFFFF])
def test_a_scribbled_lock_stops_nobody(share: Share, word: int) -> None:
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        share.scribble(LOCK_AT, word.to_bytes(4, "little"))
        assert program.call("cuMemAlloc_v2", "out", GIB) == OUT_OF_MEMORY
        assert program.call("cuMemAlloc_v2", "out", GIB - MIB) == SUCCESS


def test_a_lock_of_a_stopped_process_stops_nobody_for_long(share: Share) -> None:
    with share.cuda() as first, share.cuda() as second:
        first.ok("cuMemAlloc_v2", "out", MIB)
        second.ok("cuMemAlloc_v2", "out", MIB)
        share.scribble(LOCK_AT, (1).to_bytes(4, "little"))  # the first one's, which lives and will not let go
        assert second.call("cuMemAlloc_v2", "out", MIB) == SUCCESS


@pytest.mark.parametrize("high", [0, 1, 257, 0xFFFFFFFF])
def test_a_scribbled_count_of_slots_harms_nobody(share: Share, high: int) -> None:
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        share.scribble(HIGH_AT, high.to_bytes(4, "little"))
        assert program.call("cuMemAlloc_v2", "out", GIB) == OUT_OF_MEMORY
        assert program.call("cuMemAlloc_v2", "out", GIB - MIB) == SUCCESS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(
        st.tuples(st.integers(0, HEADER + 3 * 288 - 8), st.binary(min_size=1, max_size=8)), min_size=1, max_size=20
    )
)
def test_a_scribbled_region_never_gives_more_than_the_limit(
    machine: Machine, share: Share, ours: Libraries, writes: list[tuple[int, bytes]]
) -> None:
    share.region.unlink()
    region.ensure(share.region, share.read_limits())
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        for offset, content in writes:
            share.scribble(offset, content)
            pointer = program.call("cuMemAlloc_v2", "out", GIB - MIB) == SUCCESS and program.last_out[0]
            assert program.call("cuMemAlloc_v2", "out", GIB - MIB + 1) == OUT_OF_MEMORY
            if pointer:
                program.ok("cuMemFree_v2", pointer)
        assert machine.peak() <= GIB
        calls.free_and_total(program)


def test_a_removed_region_file_changes_nothing_for_those_who_have_it(share: Share) -> None:
    with share.cuda() as first, share.cuda() as second:
        first.ok("cuMemAlloc_v2", "out", MIB)
        second.ok("cuMemAlloc_v2", "out", MIB)
        share.region.unlink()
        assert first.call("cuMemAlloc_v2", "out", GIB - 2 * MIB + 1) == OUT_OF_MEMORY
        first.ok("cuMemAlloc_v2", "out", GIB - 2 * MIB)
