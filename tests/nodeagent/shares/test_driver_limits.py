"""Shares that the driver bounds: set on a cgroup of the claim's own, read back, shown, cleared."""

from __future__ import annotations

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
    """A machine whose cgroups and processes are plain folders and files, with a running agent."""

    def __init__(self, folder: Path, gpus: str = "v100:limits=1", faults: Faults | None = None) -> None:
        self.machine = Machine(folder, gpus)
        self.cgroups = folder / "cgroups"
        self.cgroups.mkdir()
        self.proc = folder / "proc"
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
        return DriverLimits(self.nvml, owners, host_processes=host_processes, cgroups=self.cgroups, proc=self.proc)

    def process(self, pid: int, membership: str) -> None:
        """A process, with what its cgroup file says."""
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "cgroup").write_text(membership)

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


def test_a_share_that_began_without_a_limit_is_never_said_to_have_one(tmp_path: Path) -> None:
    node = Node(tmp_path, "v100:limits=2", Faults([Fault("nvmlDeviceSetMemoryLimits_v1", nth=2, error=999)]))
    shares = [part(node.machine.gpu(index), 8080) for index in (0, 1)]
    for _ in range(2):  # the driver takes the limit of one of two GPUs, and later would take both
        assert CGROUP not in node.agent.prepare(allocation("c1", *shares)).environment
        assert {p.backing for gpu in node.agent.report().gpus for p in gpu.parts} == {Backing.SOFTWARE}
    node.agent.close()
    node.start()
    assert {p.backing for gpu in node.agent.report().gpus for p in gpu.parts} == {Backing.SOFTWARE}


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


POD = "/kubepods.slice/pod1/container1"
RUNS, STRANGER = 4711, 4712


class Container:
    """A share of 8080 MiB whose process RUNS is in a container's cgroup; `inside`: pids in the cgroup, by folder."""

    def __init__(self, folder: Path, membership: str = f"0::{POD}\n", faults: Faults | None = None) -> None:
        self.node = Node(folder, faults=faults)
        self.limits = self.node.driver_limits(host_processes=False)
        self.hold = Hold("c1", "job", part(self.node.gpu, 8080), self.node.gpu, 1)
        self.node.machine.owners[RUNS] = "c1"
        self.node.process(RUNS, membership)
        self.cgroup = self.node.cgroups / POD[1:]

    def inside(self, *pids: int, child: str = "") -> None:
        (self.cgroup / child).mkdir(parents=True, exist_ok=True)
        (self.cgroup / child / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def is_limited(self) -> bool:
        """Whether it is, once its process and a stranger's were seen on the GPU."""
        seen = [GpuProcess(self.node.gpu, STRANGER, 10, None), GpuProcess(self.node.gpu, RUNS, 10, "c1")]
        self.limits.follow(seen, [self.hold])
        return self.limits.is_limited("c1", self.node.gpu)


def test_a_containers_cgroup_is_found_by_its_processes_and_not_made(tmp_path: Path) -> None:
    container = Container(tmp_path)
    assert container.limits.is_supported(container.node.gpu)
    assert container.limits.prepare("c1", [container.hold], at_once, fresh=True) is None
    container.inside(RUNS)
    assert container.is_limited()
    assert container.node.hard(container.cgroup) == 8080 * MIB
    container.limits.remove("c1", at_once)
    assert container.node.hard(container.cgroup) is None


@pytest.mark.parametrize("membership", [f"0::{POD}\n", f"12:memory:/elsewhere\n1:name=systemd:/\n0::{POD}\n"])
def test_a_cgroup_is_limited_only_when_all_that_runs_in_it_is_the_claims(tmp_path: Path, membership: str) -> None:
    container = Container(tmp_path, membership)
    container.inside(RUNS, STRANGER)
    assert not container.is_limited()
    container.inside(RUNS)
    container.inside(STRANGER, child="below")
    assert not container.is_limited()
    container.inside(child="below")
    assert container.is_limited()


@pytest.mark.parametrize("membership", ["0::/\n", "12:memory:/elsewhere\n", ""], ids=["the root", "version 1", "none"])
def test_a_process_in_no_cgroup_of_its_own_is_not_limited(tmp_path: Path, membership: str) -> None:
    container = Container(tmp_path, membership)
    (container.node.cgroups / "cgroup.procs").write_text(f"{RUNS}\n")
    assert not container.is_limited()


@pytest.mark.parametrize("gone", ["process", "cgroup", "all inside"])
def test_what_ended_since_it_was_seen_is_not_limited(tmp_path: Path, gone: str) -> None:
    container = Container(tmp_path)
    if gone == "process":
        container.inside(RUNS)
        (container.node.proc / str(RUNS) / "cgroup").unlink()
    elif gone == "all inside":
        container.inside()
    assert not container.is_limited()


def test_a_claim_is_let_go_of_where_the_driver_cannot_lift_its_limit(tmp_path: Path) -> None:
    container = Container(tmp_path, faults=Faults([Fault("nvmlDeviceSetMemoryLimits_v1", nth=2, error=15)]))
    container.inside(RUNS)
    assert container.is_limited()
    container.limits.remove("c1", at_once)
    assert not container.limits.is_limited("c1", container.node.gpu)


def test_where_the_kernel_counts_device_memory_it_does_so_for_every_claim(tmp_path: Path) -> None:
    node = Node(tmp_path)
    ours = node.cgroups / "migctl"
    ours.mkdir()
    for parent in (node.cgroups, ours):
        (parent / "cgroup.controllers").write_text("cpu dmem memory\n")
    node.agent.prepare(allocation("c1", part(node.gpu, 8080)))
    assert [(parent / "cgroup.subtree_control").read_text() for parent in (node.cgroups, ours)] == ["+dmem", "+dmem"]
    assert node.backing("c1") is Backing.DRIVER_LIMIT


def test_where_the_kernel_does_not_the_driver_counts_by_itself(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.cgroups / "cgroup.controllers").write_text("cpu memory\n")
    node.agent.prepare(allocation("c1", part(node.gpu, 8080)))
    assert not (node.cgroups / "cgroup.subtree_control").exists()
    assert node.backing("c1") is Backing.DRIVER_LIMIT


@pytest.mark.parametrize("refused", ["the folder", "the controller"])
def test_a_share_whose_cgroup_cannot_be_made_is_bounded_by_the_libraries_for_good(tmp_path: Path, refused: str) -> None:
    node = Node(tmp_path)
    if refused == "the folder":
        (node.cgroups / "migctl").write_text("")
    else:
        (node.cgroups / "cgroup.controllers").write_text("dmem")
        (node.cgroups / "cgroup.subtree_control").mkdir()
    for _ in range(2):  # the second time its processes run already, outside of any cgroup made now
        assert CGROUP not in node.agent.prepare(allocation("c1", part(node.gpu, 8080))).environment
        assert node.backing("c1") is Backing.SOFTWARE


def test_a_claim_that_runs_already_gets_no_cgroup_that_it_would_stay_outside_of(tmp_path: Path) -> None:
    node = Node(tmp_path)
    hold = Hold("c1", "job", part(node.gpu, 8080), node.gpu, 1)
    assert node.limits.is_supported(node.gpu)
    assert node.limits.prepare("c1", [hold], at_once, fresh=False) is None
    cgroup = node.limits.prepare("c1", [hold], at_once, fresh=True)
    assert node.limits.prepare("c1", [hold], at_once, fresh=False) == cgroup


def test_a_running_claim_keeps_its_cgroup_where_the_driver_fails_once(tmp_path: Path) -> None:
    node = Node(tmp_path, faults=Faults([Fault("nvmlDeviceGetMemoryLimits_v1", nth=4, error=999)]))
    hold = Hold("c1", "job", part(node.gpu, 8080), node.gpu, 1)
    assert node.limits.is_supported(node.gpu)  # the first call; two more set the limit and read it back
    cgroup = node.limits.prepare("c1", [hold], at_once, fresh=True)
    assert node.limits.prepare("c1", [hold], at_once, fresh=False) is None
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
