"""Commands beside a running workload."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from migctl.backends.protocol import Conflict
from migctl.objects import Phase
from tests.limits import WAIT_S
from tests.migctl.embedded.conftest import Machine

pytestmark = pytest.mark.anyio


async def test_exec_into_a_pod_that_ends_meanwhile_does_not_take_its_devices_again(machine: Machine) -> None:
    async with machine.running() as runtime:
        await machine.submit("train", "sleep", "1000")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        await machine.claims_when(1, Phase.RUNNING)
        workload = await machine.workload_when("train", Phase.RUNNING)
        assert (await runtime.exec_environment(workload, 0)).environment["NVIDIA_VISIBLE_DEVICES"] == "GPU-1"
        machine.agent.unprepare(claim.meta.uid)
        with pytest.raises(Conflict, match="train is ending, not Running"):
            await runtime.exec_environment(workload, 0)
        assert machine.agent.held == {}


STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(1000)"
)


async def test_a_command_beside_a_workload_ends_with_it(machine: Machine) -> None:
    """It says nothing of its claim in its environment, as one that has overwritten it, and ignores SIGTERM."""
    async with machine.running() as runtime:
        await machine.submit("train", "sleep", "1000")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        await machine.claims_when(1, Phase.RUNNING)
        workload = await machine.workload_when("train", Phase.RUNNING)
        with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as beside:
            assert beside.stdout is not None
            beside.stdout.readline()
            await runtime.exec_environment(workload, beside.pid)
            await machine.control_plane.delete(workload)
            assert await asyncio.to_thread(beside.wait, WAIT_S) == -9
