"""`delete` means that nothing of a claim lives, whatever its programs do to be overlooked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from migctl.embedded.kubelet.processes import ClaimProcess, Processes
from migctl.objects import Event, Phase
from nodeagent import procfs
from nodeagent.gpu.inventory import NO_CLAIM
from nodeagent.shares.claim_cgroups import ClaimCgroups
from nodeagent.shares.process_owner import ProcessOwners
from tests.cgroup2 import own_cgroup
from tests.limits import WAIT_S
from tests.migctl.embedded.conftest import Machine
from tests.migctl.embedded.stubborn_programs import PROGRAMS

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["without-cgroups", "with-cgroups"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    owners = ProcessOwners(launches=True)
    if request.param == "without-cgroups":
        yield Processes(owners)
        return
    with own_cgroup(tmp_path / "cgroup2") as parent:
        yield Processes(owners, ClaimCgroups([parent]))


async def started(process: ClaimProcess, program: str, folder: Path) -> int:
    """Start a program; the pid that it says when it is ready."""
    ready = folder / "ready"
    process.start((sys.executable, "-c", program, str(ready)), dict(os.environ), str(folder))
    async with asyncio.timeout(WAIT_S):
        while not ready.exists():
            await asyncio.sleep(0.01)
    return int(ready.read_text())


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_stopped_claim_has_no_process_left(
    tmp_path: Path, session: str, processes: Processes, program: str
) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim", processes)
    pid = await started(process, PROGRAMS[program], tmp_path)
    start = procfs.start_time(pid)
    assert start is None or processes.owners.claim_of(pid) == session
    assert await process.stop(grace_s=0.2) == []
    assert start is None or procfs.start_time(pid) != start
    assert process.living() == []
    processes.owners.forget(session)
    assert not any(PROGRAMS[program] in argument for argument in _arguments()), "found by nothing of ours"


def _arguments() -> Iterator[str]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield from process.cmdline()


@pytest.mark.parametrize("program", ["forks", "daemonises-and-renames-itself", "forks-without-end"])
async def test_what_a_command_leaves_behind_ends_with_it_while_nobody_looks(
    tmp_path: Path, session: str, program: str
) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    await started(process, PROGRAMS[program], tmp_path)
    launcher = process.leader()
    assert launcher is not None
    (command,) = psutil.Process(launcher).children()[:1]
    command.kill()
    assert await process.wait(launcher) == 137
    assert process.living() == []


async def test_a_renamed_daemon_is_found_by_a_new_runner(tmp_path: Path, session: str) -> None:
    base = tmp_path / "0" / "claim"
    pid = await started(ClaimProcess(session, base), PROGRAMS["daemonises-and-renames-itself"], tmp_path)
    again = ClaimProcess(session, base)
    assert pid in again.living()
    assert await again.stop(grace_s=0.1) == []
    assert procfs.start_time(pid) is None


async def test_a_process_that_killed_its_launcher_is_known_from_before(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    pid = await started(process, PROGRAMS["daemonises-and-renames-itself"], tmp_path)
    process.processes.owners.remember()
    launcher = process.leader()
    assert launcher is not None
    os.kill(launcher, signal.SIGKILL)
    await process.wait()
    assert pid in process.living()
    assert process.sweep() == []
    assert procfs.start_time(pid) is None


async def test_a_program_in_the_launcher_s_session_is_found_when_both_hide(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    pid = await started(process, PROGRAMS["renames-itself"], tmp_path)
    launcher = process.leader()
    assert launcher is not None
    os.kill(launcher, signal.SIGKILL)
    await process.wait()
    assert process.living() == [pid]
    assert process.sweep() == []


async def test_what_belongs_to_no_claim_is_nobodys(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    await started(process, PROGRAMS["forks"], tmp_path)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        assert process.processes.owners.claim_of(stranger.pid) == NO_CLAIM
        assert await process.stop(grace_s=0.1) == []
        assert stranger.poll() is None
        stranger.kill()


async def test_a_program_hears_term_although_it_was_stopped(tmp_path: Path, session: str) -> None:
    program = (
        "import os, signal, sys, time\n"
        "def end(*_): open(sys.argv[1] + '.ended', 'w').close(); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "open(sys.argv[1] + '.new', 'w').write(str(os.getpid())); os.rename(sys.argv[1] + '.new', sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
        "time.sleep(1000)\n"
    )
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    await started(process, program, tmp_path)
    assert await process.stop(grace_s=WAIT_S) == []
    assert (tmp_path / "ready.ended").exists()
    assert process.exit_code() == 0


async def test_the_workload_s_own_python_settings_do_not_reach_the_launcher(tmp_path: Path, session: str) -> None:
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    large = "x" * 100_000
    environment = {**os.environ, "PYTHONHOME": "/nowhere", "LD_PRELOAD": "", "LARGE": large, "ODD": "a=b\nc"}
    script = f'[ ${{#LARGE}} = 100000 ] && [ "$PYTHONHOME" = /nowhere ] && echo "$ODD" > {tmp_path}/odd'
    assert await process.wait(process.start(("sh", "-c", script), environment, str(tmp_path))) == 0
    assert (tmp_path / "odd").read_text() == "a=b\nc\n"


async def test_a_script_without_a_first_line_is_run_by_the_shell(tmp_path: Path, session: str) -> None:
    (tmp_path / "script").write_text("exit 7\n")
    (tmp_path / "script").chmod(0o755)
    process = ClaimProcess(session, tmp_path / "0" / "claim")
    assert await process.wait(process.start((f"{tmp_path}/script",), dict(os.environ), str(tmp_path))) == 7


async def test_a_reboot_is_not_the_program_s_failure(machine: Machine) -> None:
    """E3: with no retries at all."""
    async with machine.running():
        await machine.submit("train", "sleep", "1000", backoff_limit=0)
        (claim,) = await machine.claims_when(1)
        await machine.allocate(claim)
        (claim,) = await machine.claims_when(1, Phase.RUNNING)
    assert claim.status.pid is not None
    os.killpg(claim.status.pid, signal.SIGKILL)
    machine.boot = "another boot"
    async with machine.running():
        async with asyncio.timeout(WAIT_S):
            while claim.meta.uid in [c.meta.uid for c in await machine.claims()]:
                await asyncio.sleep(0.01)
        (again,) = await machine.claims_when(1, Phase.PENDING)
        assert (again.spec.index, again.spec.attempt) == (0, 1)
        await machine.allocate(again)
        await machine.claims_when(1, Phase.RUNNING)
        workload = await machine.workload_when("train", Phase.RUNNING)
        assert workload.status.phase is not Phase.FAILED
        (event,) = (await machine.control_plane.list(Event)).items
        assert (event.spec.about, event.spec.reason) == ("Workload/train", "NodeRebooted")
        assert event.spec.message == "pod train-0: the machine was restarted: it runs again"
