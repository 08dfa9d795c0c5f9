"""Many processes and threads at once, some killed in the middle: never one byte over the limit, and nothing lost."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from nodeagent.shim import region
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import GIB, MIB, Machine, Share, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain

ROUNDS = int(os.environ.get("MIGCTL_SOAK_ROUNDS", "600"))
LIMIT = 64 * MIB
CONTEXT = MIB


def storm(share: Share, program: Path, processes: int, threads: int, size: int, **more: str) -> dict[str, int]:
    done = subprocess.run(
        [program, str(processes), str(threads), str(ROUNDS), str(size)],
        env=share.environment(**more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}


@pytest.mark.parametrize(("processes", "threads"), [(1, 8), (4, 4), (16, 1)])
def test_a_storm_never_passes_the_limit(
    make_machine: MakeMachine, ours: Libraries, toolchain: Toolchain, processes: int, threads: int
) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), memory=8 * GIB, context=CONTEXT))
    share = machine.share("share", ours, 4 * LIMIT)
    seen = storm(share, toolchain.program("storm.c"), processes, threads, size=4 * MIB)
    assert machine.peak() <= 4 * LIMIT
    assert machine.held() == 0
    assert seen["given"] > 0
    assert seen["refused"] > 0
    assert seen["killed"] > 0 or processes == 1
    assert region.holders(share.region) == ()
    with share.cuda() as survivor:
        assert calls.free_and_total(survivor) == (4 * LIMIT - CONTEXT, 4 * LIMIT)


def test_two_workloads_storm_side_by_side(make_machine: MakeMachine, ours: Libraries, toolchain: Toolchain) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), memory=8 * LIMIT, context=CONTEXT))
    left, right = machine.share("left", ours, 4 * LIMIT), machine.share("right", ours, 4 * LIMIT)
    command = [str(toolchain.program("storm.c")), "6", "2", str(ROUNDS), str(4 * MIB)]
    running = [
        subprocess.Popen(command, env=share.environment(), stdout=subprocess.PIPE, text=True) for share in (left, right)
    ]
    for process in running:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    assert machine.peak() <= 8 * LIMIT
    assert machine.held() == 0


@pytest.mark.parametrize("kind", ["address", "thread", "undefined"])
@pytest.mark.parametrize(("processes", "threads", "gated"), [(1, 6, False), (3, 2, False), (3, 2, True)])
def test_sanitizers_find_nothing(
    toolchain: Toolchain, tmp_path: Path, kind: str, processes: int, threads: int, gated: bool
) -> None:
    """All parts are built with a sanitizer; where launches are gated, they wait for a turn of nine tenths."""
    flags = (f"-fsanitize={kind}", "-g", "-fno-omit-frame-pointer")
    gpus = [StandinGpu(gpu_uuid(0), context=CONTEXT)]
    machine = Machine.make(tmp_path / kind, toolchain.standins(kind, flags), gpus, tool=toolchain.standins().cuda)
    share = machine.share("share", toolchain.ours(kind, flags, gated=gated), 4 * LIMIT)
    if gated:
        region.set_turn(share.region, gpu_uuid(0), 0, 900)
    program = toolchain.program("storm.c", kind, flags)
    seen = storm(share, program, processes, threads, size=16 * MIB, ASAN_OPTIONS="detect_leaks=0")
    assert seen["given"] > 0
    assert machine.peak() <= 4 * LIMIT
