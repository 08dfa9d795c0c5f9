"""Shares that the driver bounds: set on a cgroup of the claim's own, read back, shown, cleared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.agent import Agent
from nodeagent.contract.allocation import GpuProcess, Unsupported
from nodeagent.contract.environment import CGROUP
from nodeagent.journal.records import Hold
from nodeagent.nvml import NotSupported, Nvml, NvmlNotFound
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.faults import Fault, Faults
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare
from tests.nodeagent.machines import NODE, Machine, allocation, at_once, part

MIB = 1 << 20


class Node:
    """A machine whose cgroups are plain folders, with a running agent."""

    def __init__(self, folder: Path, gpus: str = "v100:limits=1", faults: Faults | None = None) -> None:
        self.machine = Machine(folder, gpus)
        self.cgroups = folder / "cgroups"
        self.cgroups.mkdir()
        self.gpu = self.machine.gpu(0)
        self.start(faults)

    def start(self, faults: Faults | None = None) -> None:
        library = self.machine.library(faults)
        self.nvml = Nvml(library)
        self.limits = self.driver_limits()
        self.agent = Agent(
            self.nvml,
            self.machine.agent_dir,
            NODE,
            boot_id=library.boot_id,
            claim_of=self.machine.owners.get,
            driver_limits=self.limits,
        )

    def driver_limits(self, host_processes: bool = True) -> DriverLimits:
        owners = self.machine.owners.get
        return DriverLimits(self.nvml, owners, host_processes=host_processes, cgroups=self.cgroups)

    def backing(self, claim: str) -> Backing:
        (gpu,) = self.agent.report().gpus
        return next(p.backing for p in gpu.parts if p.claim == claim)

    def hard(self, cgroup: Path) -> int | None:
        return self.nvml.memory_limit(self.gpu, cgroup).hard


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_claims_cgroup_is_limited_before_anything_runs_in_it_and_gone_afterwards(tmp_path: Path) -> None:
    node = Node(tmp_path)
    prepared = node.agent.prepare(allocation("c1", part(node.gpu, 8080)))
    cgroup = Path(prepared.environment[CGROUP])
    assert node.hard(cgroup) == 8080 * MIB
    assert node.backing("c1") is Backing.DRIVER_LIMIT
    node.agent.unprepare("c1")
    assert not cgroup.exists()
    assert node.machine.gpus()[0]["memory_limits"] == {}


def test_the_simulated_driver_keeps_the_limit(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    node = Node(tmp_path)
    cgroup = Path(node.agent.prepare(allocation("c1", part(node.gpu, 1000))).environment[CGROUP])
    (cgroup / "cgroup.procs").write_text(f"{sleeper.pid}\n")
    with pytest.raises(processes.OutOfMemory):
        node.machine.occupy(node.gpu, 1001, sleeper.pid, "c1")
    node.machine.occupy(node.gpu, 1000, sleeper.pid, "c1")
    assert node.nvml.memory_limit(node.gpu, cgroup).used == 1000 * MIB


def test_an_older_driver_leaves_the_share_to_the_libraries_and_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    node = Node(tmp_path, "v100=1")
    with pytest.raises(NotSupported):
        node.nvml.memory_limit(node.gpu, node.cgroups)
    assert CGROUP not in node.agent.prepare(allocation("c1", part(node.gpu, 8080))).environment
    assert node.backing("c1") is Backing.SOFTWARE
    with pytest.raises(Unsupported, match="R615"):
        node.agent.prepare(allocation("c2", DeviceShare(node.gpu, Backing.DRIVER_LIMIT, 0.1, 1616)))


def test_a_share_that_asks_for_the_drivers_limit_gets_it(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.agent.prepare(allocation("c1", DeviceShare(node.gpu, Backing.DRIVER_LIMIT, 0.5, 8080)))
    assert node.backing("c1") is Backing.DRIVER_LIMIT


@pytest.mark.parametrize("error", [4, 999])
def test_without_the_right_to_set_a_limit_the_libraries_bound_the_share(tmp_path: Path, error: int) -> None:
    node = Node(tmp_path, faults=Faults([Fault("nvmlDeviceSetMemoryLimits_v1", error=error)]))
    assert CGROUP not in node.agent.prepare(allocation("c1", part(node.gpu, 8080))).environment
    assert node.backing("c1") is Backing.SOFTWARE


def test_a_limit_that_does_not_read_back_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path)
    set_limit = node.nvml.set_memory_limit

    def half(gpu: str, cgroup: Path, hard: int | None) -> None:
        set_limit(gpu, cgroup, hard and hard // 2)

    monkeypatch.setattr(node.nvml, "set_memory_limit", half)
    node.agent.prepare(allocation("c1", part(node.gpu, 8080)))
    assert node.backing("c1") is Backing.SOFTWARE
    assert node.machine.gpus()[0]["memory_limits"] == {}


def test_a_gpu_in_mig_mode_has_no_limits(tmp_path: Path) -> None:
    node = Node(tmp_path, "a100-40gb:limits=1")
    assert not node.limits.is_supported(node.gpu)


def test_a_missing_cgroup_is_not_found(tmp_path: Path) -> None:
    node = Node(tmp_path)
    with pytest.raises(NvmlNotFound):
        node.nvml.set_memory_limit(node.gpu, tmp_path / "nowhere", 1)


def test_a_containers_cgroup_is_found_by_its_processes_and_limited_only_when_all_are_the_claims(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    limits = node.driver_limits(host_processes=False)
    hold = Hold("c1", "job", part(node.gpu, 8080), node.gpu, 1)
    assert limits.prepare("c1", [hold], at_once, fresh=True) is None
    leaf = node.cgroups / "pod" / "container"
    leaf.mkdir(parents=True)
    monkeypatch.setattr(limits, "_cgroup_of", lambda pid: leaf)
    node.machine.owners[sleeper.pid] = "c1"
    seen = [GpuProcess(node.gpu, sleeper.pid, 10, "c1")]
    (leaf / "cgroup.procs").write_text(f"{sleeper.pid}\n{os.getpid()}\n")
    limits.follow(seen, [hold])
    assert not limits.is_limited("c1", node.gpu)
    (leaf / "cgroup.procs").write_text(f"{sleeper.pid}\n")
    limits.follow(seen, [hold])
    assert limits.is_limited("c1", node.gpu)
    assert node.hard(leaf) == 8080 * MIB
    limits.remove("c1", at_once)
    assert node.hard(leaf) is None


def test_a_claim_that_runs_already_gets_no_cgroup_that_it_would_stay_outside_of(tmp_path: Path) -> None:
    node = Node(tmp_path)
    hold = Hold("c1", "job", part(node.gpu, 8080), node.gpu, 1)
    assert node.limits.is_supported(node.gpu)
    assert node.limits.prepare("c1", [hold], at_once, fresh=False) is None
    cgroup = node.limits.prepare("c1", [hold], at_once, fresh=True)
    assert node.limits.prepare("c1", [hold], at_once, fresh=False) == cgroup


def test_a_new_start_knows_the_limits_that_are_set(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.agent.prepare(allocation("c1", part(node.gpu, 8080)))
    node.agent.close()
    node.start()
    assert node.backing("c1") is Backing.DRIVER_LIMIT


def test_what_an_earlier_run_left_is_cleared_at_the_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    left = node.cgroups / "migctl" / "gone"
    left.mkdir(parents=True)
    node.driver_limits().remove_except(["c1"])
    assert not left.exists()
