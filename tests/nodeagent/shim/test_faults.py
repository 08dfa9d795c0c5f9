"""SIGKILL at every place where the accounts are touched: the others of the workload go on with all that is theirs."""

from __future__ import annotations

import re

import pytest

from nodeagent.shim import region
from nodeagent.shim.build import SOURCES
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import (
    GIB,
    HERE,
    MIB,
    OUT_OF_MEMORY,
    Machine,
    Program,
    ProgramEnded,
    Share,
    StandinGpu,
    gpu_uuid,
)
from tests.nodeagent.shim.harness.toolchain import Toolchain

PLACES = (
    "allocated",
    "attach",
    "context",
    "drawn",
    "freed",
    "given",
    "locked",
    "reserved",
    "sweep",
    "taken",
    "unlock",
)
CONTEXT = 64 * MIB


def test_every_place_in_the_sources_is_listed() -> None:
    found = {name for path in SOURCES.rglob("*.c") for name in re.findall(r'FAULT\("(\w+)"\)', path.read_text())}
    assert found == set(PLACES)


@pytest.fixture(scope="session")
def mortal(toolchain: Toolchain) -> Libraries:
    """The libraries with the places where a test kills."""
    return toolchain.ours("faults", ("-DSHIM_FAULTS",), (HERE / "faults.c",))


@pytest.fixture
def costly(make_machine: MakeMachine) -> Machine:
    return make_machine(StandinGpu(gpu_uuid(0), context=CONTEXT))


def everything(program: Program) -> None:
    """A little of each kind, and beyond the limit, so that every place is passed."""
    program.begin()
    for _ in range(5):
        pointer = program.ok("cuMemAlloc_v2", "out", 100 * MIB)
        pooled = program.ok("cuMemAllocAsync", "out", MIB, 0)
        made = program.ok("cuMemCreate", "out", 2 * MIB, calls.where(0), 0)
        array = program.ok("cuArrayCreate_v2", "out", calls.flat(MIB))
        context = program.ok("cuCtxCreate_v2", "out", 0, 0)
        assert program.call("cuMemAlloc_v2", "out", GIB) == OUT_OF_MEMORY
        program.ok("cuCtxDestroy_v2", context)
        program.begin()
        program.ok("cuArrayDestroy", array)
        program.ok("cuMemRelease", made)
        program.ok("cuMemFreeAsync", pooled, 0)
        program.ok("cuMemFree_v2", pointer)


@pytest.mark.parametrize(
    ("place", "time"), [(place, n) for place in PLACES for n in (1, 2, 5) if place != "attach" or n == 1]
)
def test_a_kill_anywhere_costs_nobody_anything(costly: Machine, mortal: Libraries, place: str, time: int) -> None:
    share = costly.share("share", mortal, GIB)
    with share.cuda() as witness:
        witness.ok("cuMemAlloc_v2", "out", MIB)
        if place == "sweep":
            _leave_dead_behind(share)
        with share.start({"SHIM_FAULT": f"{place}:{time}"}) as victim, pytest.raises(ProgramEnded, match="-9"):
            everything(victim)
        left = GIB - CONTEXT - MIB
        assert witness.call("cuMemAlloc_v2", "out", left + 1) == OUT_OF_MEMORY
        pointer = witness.ok("cuMemAlloc_v2", "out", left)
        witness.ok("cuMemFree_v2", pointer)
        with share.cuda() as newcomer:
            newcomer.ok("cuMemAlloc_v2", "out", left - CONTEXT)
            assert {h.pid for h in region.holders(share.region)} == {witness.process.pid, newcomer.process.pid}
        assert costly.peak() <= GIB


def _leave_dead_behind(share: Share) -> None:
    """Slots of dead processes that nobody has cleared yet."""
    with share.cuda() as first, share.cuda() as second:
        for program in (first, second):
            program.ok("cuMemAlloc_v2", "out", 10 * MIB)
