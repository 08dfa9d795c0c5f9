"""Turns: launches of a workload that got one wait for it, by a clock that the test sets; all others never wait."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.contract.allocation import GpuProcess
from nodeagent.shares.time_slices import ANY_TIME, PERIOD, ComputePolicy, TimeSlice, launching_claims, time_slices
from nodeagent.shim import region
from tests.nodeagent.shim.harness.calls import PER_THREAD
from tests.nodeagent.shim.harness.machine import GIB, SUCCESS, Machine, Program, Share, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import HERE, Toolchain

KERNEL = (0, 1, 1, 1, 1, 1, 1, 0)
LAUNCHES = {
    "cuLaunchKernel": (*KERNEL, 0, 0, 0),
    "cuLaunchKernel_ptsz": (*KERNEL, 0, 0, 0),
    "cuLaunchKernelEx": (0, 0, 0, 0),
    "cuLaunchKernelEx_ptsz": (0, 0, 0, 0),
    "cuLaunchCooperativeKernel": (*KERNEL, 0, 0),
    "cuLaunchCooperativeKernel_ptsz": (*KERNEL, 0, 0),
    "cuGraphLaunch": (0, 0),
    "cuGraphLaunch_ptsz": (0, 0),
}


@pytest.fixture
def gated(machine: Machine, toolchain: Toolchain) -> Share:
    wrapped = ("-Wl,--wrap=clock_gettime", "-Wl,--wrap=nanosleep")
    ours = toolchain.ours("fake-clock", wrapped, [HERE / "fake_clock.c"], gated=True)
    return machine.share("gated", ours, GIB)


def launched_at(program: Program, function: str, ms: int) -> int:
    """When a launch that was asked for at a time reached the driver, in milliseconds."""
    program.call("fake_clock_set", ms)
    assert program.call(function, *LAUNCHES[function]) == SUCCESS
    return program.call("fake_clock_get")


@pytest.mark.parametrize("function", LAUNCHES)
def test_a_launch_waits_for_its_turn(gated: Share, function: str) -> None:
    region.set_turn(gated.region, gpu_uuid(0), 500, 250)
    with gated.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", 1)
        assert [launched_at(program, function, ms) for ms in (0, 49, 50, 74, 75, 99, 160)] == [
            *(50, 50, 50, 74),
            *(150, 150, 160),
        ]


def test_without_a_turn_nothing_waits(gated: Share) -> None:
    with gated.cuda() as program:
        assert launched_at(program, "cuLaunchKernel", 3) == 3
        region.set_turn(gated.region, gpu_uuid(0), 500, 250)
        assert launched_at(program, "cuLaunchKernel", 3) == 50
        region.set_turn(gated.region, gpu_uuid(0), 0, 0)
        assert launched_at(program, "cuLaunchKernel", 3) == 3


@pytest.mark.parametrize("flags", [0, PER_THREAD])
def test_the_gated_library_is_found_for_launches_however_they_are_resolved(gated: Share, flags: int) -> None:
    with gated.start() as program:
        found = program.resolve("cuLaunchKernel", flags=flags)
        assert found["file"] == str(gated.libraries / "libcuda.so.1")
        assert found["name"] == ("cuLaunchKernel_ptsz" if flags else "cuLaunchKernel")


@pytest.mark.parametrize(
    ("policy", "portions", "launching", "expected"),
    [
        (ComputePolicy.EVEN, {"a": 0.5, "b": 0.5}, {"a", "b"}, {"a": ANY_TIME, "b": ANY_TIME}),
        (ComputePolicy.WEIGHTS, {"a": 0.5, "b": 0.25}, {"a"}, {"a": ANY_TIME, "b": ANY_TIME}),
        (
            ComputePolicy.WEIGHTS,
            {"a": 0.5, "b": 0.25, "c": 0.1},
            {"a", "b"},
            {"a": (0, 666), "b": (666, 334), "c": ANY_TIME},
        ),
        (ComputePolicy.CAPS, {"a": 0.5, "b": 0.25}, set(), {"a": (0, 500), "b": (500, 250)}),
    ],
)
def test_turns_by_policy(
    policy: ComputePolicy, portions: dict[str, float], launching: set[str], expected: dict[str, TimeSlice]
) -> None:
    assert time_slices(policy, portions, launching) == expected


@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=16), st.sampled_from(ComputePolicy), st.data())
def test_turns_never_overlap_nor_leave_the_window(
    parts: list[float], policy: ComputePolicy, data: st.DataObject
) -> None:
    portions = {str(i): part / max(1.0, sum(parts)) for i, part in enumerate(parts)}
    given_turns = time_slices(policy, portions, data.draw(st.sets(st.sampled_from(sorted(portions)))))
    bound = sorted(turn for turn in given_turns.values() if turn != ANY_TIME)
    assert given_turns.keys() == portions.keys()
    assert all(first.start + first.length <= then.start for first, then in itertools.pairwise(bound))
    assert all(turn.start + turn.length <= PERIOD for turn in bound)


def test_who_is_busy_is_who_launches_and_everybody_where_the_driver_does_not_tell() -> None:
    seen = [
        GpuProcess("g", 1, 10, "a"),
        GpuProcess("g", 2, 10, "b"),
        GpuProcess("g", 3, 10),
        GpuProcess("h", 4, 1, "c"),
    ]
    assert launching_claims(seen, "g", {2, 3, 4}) == {"b"}
    assert launching_claims(seen, "g", None) == {"a", "b"}
