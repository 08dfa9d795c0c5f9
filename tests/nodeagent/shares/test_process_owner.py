"""Whose a process is: what it cannot forge counts before what it can."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent import procfs
from nodeagent.contract.environment import CLAIM
from nodeagent.gpu.inventory import NO_CLAIM
from nodeagent.shares import claim_cgroups
from nodeagent.shares.claim_cgroups import ClaimCgroups
from nodeagent.shares.process_owner import ProcessOwners
from tests.cgroup2 import own_cgroup

RENAMING = """
import ctypes, sys
print("ready", flush=True)
sys.stdin.readline()
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(fields[47]), int(fields[48])
ctypes.memset(start, 0, end - start)
print("renamed", flush=True)
sys.stdin.readline()
"""
POD = "0f6c1d1e-1f5e-4c7b-9d59-9a7f6f2b8f11"


@pytest.fixture
def cgroups(tmp_path: Path) -> Iterator[Path]:
    """A cgroup of this test's, in a cgroup v2 file system mounted for it."""
    with own_cgroup(tmp_path / "cgroup2") as own:
        yield own


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """A process that says it runs for claim "said"."""
    code = "print('ready', flush=True); import time; time.sleep(1000)"
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, CLAIM: "said"}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_the_environment_is_a_hint_that_counts_where_nothing_else_does(program: subprocess.Popen[str]) -> None:
    owners = ProcessOwners()
    assert owners.claim_of(program.pid) == "said"
    assert program.pid in owners.processes_of("said")
    assert "said" in owners.claims_with_processes()


def test_descent_counts_before_what_a_program_says(program: subprocess.Popen[str]) -> None:
    owners = ProcessOwners(launches=True)
    start = procfs.start_time(os.getpid())
    assert start is not None
    owners.started("true", os.getpid(), start)
    assert owners.claim_of(program.pid) == "true"
    owners.forget("true")
    assert owners.claim_of(program.pid) == "said"


def test_what_is_run_beside_a_claim_s_own_is_the_claim_s_and_its_neighbours_are_not() -> None:
    """A shell of `exec` that overwrites its variables, what it starts, and what stands in the same pipeline."""
    code = f"import subprocess, sys; c = subprocess.Popen(['sleep', '1000']); print(c.pid, flush=True)\n{RENAMING}"
    with (
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, CLAIM: "said"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as shell,
        subprocess.Popen(["sleep", "1000"], process_group=shell.pid) as neighbour,
    ):
        assert shell.stdin is not None
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        owners = ProcessOwners(launches=True)
        assert owners.joined("c1", shell.pid)
        assert shell.stdout.readline() == "ready\n"
        shell.stdin.write("rename\n")
        shell.stdin.flush()
        shell.stdout.readline()
        assert set(owners.processes_of("c1")) == {shell.pid, child}
        assert owners.claim_of(neighbour.pid) == NO_CLAIM
        owners.forget("c1")
        assert not owners.joined("c1", 0)
        for pid in (child, shell.pid, neighbour.pid):
            os.kill(pid, 9)
    assert not owners.joined("c1", shell.pid)


def test_another_process_with_the_number_of_a_launcher_leads_nobody(program: subprocess.Popen[str]) -> None:
    owners = ProcessOwners(launches=True)
    owners.started("ended", os.getpid(), 1)
    assert owners.claim_of(program.pid) == "said"


def test_what_was_found_once_is_kept_for_that_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RENAMING],
        env={**os.environ, CLAIM: "said"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        owners = ProcessOwners()
        assert owners.claim_of(process.pid) == "said"
        process.stdin.write("rename\n")
        process.stdin.flush()
        process.stdout.readline()
        assert ProcessOwners().claim_of(process.pid) == NO_CLAIM
        assert owners.claim_of(process.pid) == "said"
        assert owners.processes_of("said") == [process.pid]
        process.kill()


@pytest.mark.parametrize("name", [f"pod{POD}", f"kubepods-burstable-pod{POD.replace('-', '_')}.slice"])
def test_a_pod_s_process_is_known_by_its_pod_whatever_it_says(
    cgroups: Path, program: subprocess.Popen[str], name: str
) -> None:
    container = cgroups / name / "container"
    container.mkdir(parents=True)
    (container / "cgroup.procs").write_text(str(program.pid))
    owners = ProcessOwners()
    owners.runs_in("true", [POD])
    assert owners.claim_of(program.pid) == "true"
    owners.runs_in("second", [POD])
    fresh = ProcessOwners()
    fresh.runs_in("true", [POD])
    fresh.runs_in("second", [POD])
    assert fresh.claim_of(program.pid) is None, "of two claims of its pod, and it says a third"
    fresh.runs_in("said", [POD])
    assert fresh.claim_of(program.pid) == "said"
    program.kill()
    program.wait()


def test_of_two_requests_of_a_pod_a_process_belongs_to_that_of_its_container(
    cgroups: Path, program: subprocess.Popen[str]
) -> None:
    """Its pod does not tell, and a program that wrote over its environment is still in its container."""
    container = cgroups / f"pod{POD}" / "container"
    container.mkdir(parents=True)
    (container / "cgroup.procs").write_text(str(program.pid))
    owners = ProcessOwners()
    for holder in ("said", "other"):
        owners.runs_in(holder, [POD])
    with subprocess.Popen(["sleep", "1000"], env={}) as silent:
        (container / "cgroup.procs").write_text(str(silent.pid))
        assert owners.claim_of(silent.pid) is None
        assert owners.claim_of(program.pid) == "said"
        assert owners.claim_of(silent.pid) == "said"
        silent.kill()
    program.kill()
    program.wait()


def test_a_process_outside_of_pods_is_nobodys_on_a_node_of_a_cluster() -> None:
    with subprocess.Popen(["sleep", "1000"]) as host:
        assert ProcessOwners().claim_of(host.pid) == NO_CLAIM
        host.kill()


def test_a_claim_s_cgroup_says_whose_what_runs_in_it_is_and_ends_it(
    cgroups: Path, program: subprocess.Popen[str]
) -> None:
    made = ClaimCgroups([cgroups])
    own = made.make("c1")
    assert own is not None
    made.join("c1", program.pid)
    made.join("nobody", program.pid)
    assert ProcessOwners(launches=True).claim_of(program.pid) == "c1"
    made.remove("c1")
    assert own.exists(), "something runs in it"
    made.kill("c1")
    assert program.wait() == -9
    made.remove_except(["other"])
    assert not own.exists()


def test_without_cgroups_there_is_none_and_nothing_fails(tmp_path: Path) -> None:
    none = ClaimCgroups([])
    assert none.make("c1") is None
    none.kill("c1")
    none.remove("c1")
    none.remove_except(())
    (tmp_path / "file").touch()
    assert ClaimCgroups([tmp_path / "file"]).make("c1") is None


def test_where_cgroups_are_mounted(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("36 35 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    assert claim_cgroups.mounted(table) == Path("/sys/fs/cgroup/unified")
    table.write_text("36 35 0:29 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n37 35 0:4 / /proc rw - proc proc rw\n")
    assert claim_cgroups.mounted(table) is None
    assert claim_cgroups.mounted(tmp_path / "missing") is None
