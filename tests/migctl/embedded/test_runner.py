"""Claims into processes, and processes that outlive the one who started them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from migctl.embedded.kubelet.processes import ClaimProcess
from migctl.objects import Claim, Phase, T
from nodeagent.contract.allocation import Allocation, Busy, Prepared, StaleAllocation
from tests.fakes.control_plane import MemoryControlPlane
from tests.limits import WAIT_S
from tests.migctl.embedded.conftest import GRANT, Machine, claim_of

pytestmark = pytest.mark.anyio


async def allocated_claim(machine: Machine, *command: str) -> None:
    await machine.submit("train", *command)
    (claim,) = await machine.claims_when(1)
    await machine.allocate(claim)


async def running_claim(machine: Machine, *command: str) -> Claim:
    await allocated_claim(machine, *command)
    (claim,) = await machine.claims_when(1, Phase.RUNNING)
    return claim


def log_of(machine: Machine, claim: Claim) -> Path:
    return machine.runs / claim.spec.workload_uid / "0" / "log"


async def test_a_claim_with_an_allocation_runs_its_command_with_its_devices(machine: Machine) -> None:
    async with machine.running():
        await allocated_claim(machine, "sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES $POD_NAME; exit 0")
        (claim,) = await machine.claims_when(1, Phase.COMPLETED)
        assert log_of(machine, claim).read_text() == "GPU-1 train-0-0\n"
        assert (claim.status.exit_code, claim.status.allocation, machine.agent.held) == (0, None, {})


async def test_an_exit_code_is_kept_and_said(machine: Machine) -> None:
    async with machine.running():
        await allocated_claim(machine, "sh", "-c", "exit 3")
        (claim,) = await machine.claims_when(1, Phase.FAILED)
        assert (claim.status.exit_code, claim.status.message) == (3, "exit code 3")


async def test_a_command_that_does_not_exist_fails_with_a_word(machine: Machine) -> None:
    async with machine.running():
        await allocated_claim(machine, "no-such-program")
        (claim,) = await machine.claims_when(1, Phase.FAILED)
        assert claim.status.exit_code == 127
        assert "not found" in log_of(machine, claim).read_text()


async def test_a_directory_that_does_not_exist_fails_with_a_word(machine: Machine) -> None:
    async with machine.running():
        await machine.submit("train", "true", directory="/no/such/directory")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        (claim,) = await machine.claims_when(1, Phase.FAILED)
        assert "/no/such/directory" in claim.status.message
        assert machine.agent.held == {}


async def test_a_process_outlives_its_runner_and_is_found_again(machine: Machine) -> None:
    async with machine.running():
        claim = await running_claim(machine, "sleep", "1000")
    pid = claim.status.pid
    assert pid is not None
    assert psutil.pid_exists(pid)
    async with machine.running():
        await asyncio.sleep(0)
        os.killpg(pid, signal.SIGKILL)
        (ended,) = await machine.claims_when(1, Phase.FAILED)
    assert (ended.meta.uid, ended.status.exit_code) == (claim.meta.uid, 137)


async def test_a_command_that_ended_while_nobody_looked_is_finished_with_its_exit_code(machine: Machine) -> None:
    async with machine.running():
        claim = await running_claim(machine, "sh", "-c", "while [ ! -e go ]; do sleep 0.01; done; exit 5")
    (machine.runs / "go").touch()
    assert claim.status.pid is not None
    await asyncio.to_thread(psutil.Process(claim.status.pid).wait, WAIT_S)
    async with machine.running():
        (ended,) = await machine.claims_when(1, Phase.FAILED)
    assert ended.status.exit_code == 5


async def test_a_command_starts_once_however_often_it_is_started(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    launchers = [
        process.start(("sh", "-c", f"echo ran >> {tmp_path}/ran"), dict(os.environ), str(tmp_path)) for _ in range(8)
    ]
    codes = [await process.wait(launcher) for launcher in launchers]
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert codes == [0] * 8


async def test_stopping_reaches_processes_that_left_the_group_and_ignore_term(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    script = (
        f"trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/daemon; sleep 1000' & echo up; sleep 1000"
    )
    process.start(("sh", "-c", script), dict(os.environ), str(tmp_path))
    daemon = tmp_path / "daemon"
    async with asyncio.timeout(WAIT_S):
        while not daemon.exists() or not daemon.read_text().strip():
            await asyncio.sleep(0.01)
    await process.stop(grace_s=0.1)
    left = [p for p in psutil.process_iter() if claim_of(p) == session]
    assert left == []


async def test_a_deleted_claim_stops_then_gives_its_devices_back_then_goes(machine: Machine) -> None:
    async with machine.running():
        claim = await running_claim(machine, "sleep", "1000")
        await machine.control_plane.patch(claim, {"spec": {}})
        await machine.control_plane.delete(claim)
        async with asyncio.timeout(WAIT_S):
            while claim.meta.uid in [c.meta.uid for c in await machine.claims()]:
                await asyncio.sleep(0.01)
        assert claim.status.pid is not None
        assert claim.meta.uid not in [claim_of(process) for process in psutil.process_iter()]
        assert claim.meta.uid not in machine.agent.held


class DeletedAsItEnds(MemoryControlPlane):
    """Somebody deletes a claim between the write of its end and the next look at it."""

    async def get(self, kind: type[T], name: str, project: str = "") -> T:
        found = await super().get(kind, name, project)
        if isinstance(found, Claim) and found.status.phase.finished and found.meta.deleting is None:
            await self.delete(found)
        return await super().get(kind, name, project)


async def test_a_claim_that_is_deleted_as_it_ends_is_not_run_again(machine: Machine) -> None:
    machine.control_plane = DeletedAsItEnds(uids=machine.session)
    async with machine.running():
        await allocated_claim(machine, "true")
        async with asyncio.timeout(WAIT_S):
            while "train-0-0" in [claim.meta.name for claim in await machine.claims()]:
                await asyncio.sleep(0.01)
        assert machine.agent.calls.count("prepare train-0-0") == 1


async def test_a_stale_allocation_is_given_back_with_the_reason(machine: Machine) -> None:
    def refuse(allocation: Allocation) -> Prepared:
        raise StaleAllocation("GPU GPU-1 is not on this node")

    machine.agent.prepare = refuse  # type: ignore[method-assign]
    async with machine.running():
        await machine.submit("train", "true")
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        async with asyncio.timeout(WAIT_S):
            while (claim := (await machine.claims())[0]).status.reason != "CouldNotPrepare":
                await asyncio.sleep(0.01)
        assert claim.status.allocation is None
        assert claim.status.message == "GPU GPU-1 is not on this node"


async def test_a_busy_gpu_is_tried_again(machine: Machine) -> None:
    prepare, tries = machine.agent.prepare, []

    def busy_once(allocation: Allocation) -> Prepared:
        tries.append(allocation)
        if len(tries) == 1:
            raise Busy("a process still lives on 1g.5gb@0")
        return prepare(allocation)

    machine.agent.prepare = busy_once  # type: ignore[method-assign]
    async with machine.running():
        await running_claim(machine, "sleep", "1000")
        assert len(tries) == 2


async def test_devices_of_claims_that_are_no_more_are_freed_at_the_start(machine: Machine) -> None:
    machine.agent.held["lost"] = Allocation("lost", "lost-0", "team-a", "node-a", GRANT.devices)
    async with machine.running(), asyncio.timeout(WAIT_S):
        while machine.agent.held:
            await asyncio.sleep(0.01)
    assert machine.agent.held == {}
