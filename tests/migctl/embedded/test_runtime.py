"""Commands beside a running workload."""

from __future__ import annotations

import pytest

from migctl.backends.protocol import Conflict
from migctl.objects import Phase
from tests.migctl.embedded.conftest import Machine

pytestmark = pytest.mark.anyio


async def test_exec_into_a_pod_that_ends_meanwhile_does_not_take_its_devices_again(machine: Machine) -> None:
    async with machine.running() as runtime:
        await machine.submit("train", "sleep", "1000")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        await machine.claims_when(1, Phase.RUNNING)
        workload = await machine.workload_when("train", Phase.RUNNING)
        assert (await runtime.exec_environment(workload)).environment["NVIDIA_VISIBLE_DEVICES"] == "GPU-1"
        machine.agent.unprepare(claim.meta.uid)
        with pytest.raises(Conflict, match="train is ending, not Running"):
            await runtime.exec_environment(workload)
        assert machine.agent.held == {}
