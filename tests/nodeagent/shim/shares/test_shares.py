"""The node agent gives out software shares that the libraries keep: prepared, used by programs, corrected, ended."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from migctl.embedded.kubelet import runner
from migctl.objects import Claim, ClaimSpec, GpuRequest, Meta, Workload, WorkloadSpec, WorkloadType
from nodeagent.agent import Agent
from nodeagent.contract.allocation import Prepared
from nodeagent.gpu.inventory import NO_CLAIM
from nodeagent.nvml import Nvml
from nodeagent.shares.host_shares import HostShares
from nodeagent.shares.process_owner import ProcessOwners
from nodeagent.shares.time_slices import ComputePolicy
from nodeagent.shim import placing, region
from nodeagent.shim.reconciling import reconcile
from nodeagent.shim.region import ProcessUsage
from nodeagent.upkeep.metrics import Metrics
from nodeagent.upkeep.upkeep import Upkeep
from tests.nodeagent import machines
from tests.nodeagent.machines import NODE, allocation, part
from tests.nodeagent.shim.harness import calls
from tests.nodeagent.shim.harness.machine import MIB, OUT_OF_MEMORY, Machine, Share, StandinGpu
from tests.nodeagent.shim.harness.toolchain import Toolchain
from tests.nodeagent.shim.test_information import NVML, memory_of

V100 = 16160
HALF = V100 // 2
CONTEXT = 300 * MIB
FIRST_CONTEXT = 512 * MIB  # taken until it is measured


class Node:
    """A simulated V100 for NVML, the stand-in driver of the same GPU for CUDA, and an agent over both."""

    def __init__(self, folder: Path, toolchain: Toolchain) -> None:
        self.simulated = machines.Machine(folder, "v100=1")
        self.gpu = self.simulated.gpu(0)
        gpus = [StandinGpu(self.gpu, memory=V100 * MIB, context=CONTEXT)]
        self.cuda = Machine.make(folder / "driver", toolchain.standins(), gpus)
        self.toolchain = toolchain
        self.agent = self.start()

    def start(self, compute: ComputePolicy = ComputePolicy.EVEN) -> Agent:
        library = self.simulated.library()
        folder = self.simulated.agent_dir / "shares"
        shares = HostShares(folder, self.toolchain.ours, lambda: self.cuda.drivers, compute)
        return Agent(
            Nvml(library),
            self.simulated.agent_dir,
            NODE,
            boot_id=library.boot_id,
            claim_of=self.simulated.owners.get,
            host_shares=shares,
        )

    def prepare(self, claim: str, mib: int = HALF) -> Share:
        prepared = self.agent.prepare(allocation(claim, part(self.gpu, mib)))
        libraries = Path(prepared.environment["LD_LIBRARY_PATH"].split(":")[0])
        return Share(libraries.parent, libraries)


@pytest.fixture
def node(tmp_path: Path, toolchain: Toolchain) -> Iterator[Node]:
    made = Node(tmp_path, toolchain)
    yield made
    made.agent.close()


def test_each_half_shows_and_gives_its_half_and_the_neighbour_goes_on(node: Node) -> None:
    left, right = node.prepare("left"), node.prepare("right")
    with left.cuda() as greedy, right.cuda() as neighbour:
        with left.start(library=NVML) as monitor:
            assert memory_of(monitor)[0] == 8080 * MIB
        assert calls.free_and_total(greedy)[1] == 8080 * MIB
        assert greedy.call("cuMemAlloc_v2", "out", HALF * MIB) == OUT_OF_MEMORY
        greedy.ok("cuMemAlloc_v2", "out", HALF * MIB - FIRST_CONTEXT)
        assert greedy.call("cuMemAlloc_v2", "out", 1) == OUT_OF_MEMORY
        neighbour.ok("cuMemAlloc_v2", "out", HALF * MIB - FIRST_CONTEXT)
        assert node.cuda.held() <= V100 * MIB


def test_the_driver_s_figures_correct_what_a_context_takes(node: Node) -> None:
    share = node.prepare("claim")
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", 100 * MIB)
        node.simulated.occupy(node.gpu, (100 * MIB + CONTEXT) // MIB, program.process.pid, claim="claim")
        Upkeep(node.agent).step()
        assert calls.free_and_total(program)[0] == HALF * MIB - CONTEXT - 100 * MIB
        assert node.agent.report().notes == {}
    later = node.prepare("later")
    with later.cuda() as program:
        assert calls.free_and_total(program)[0] == HALF * MIB - CONTEXT


def test_a_program_that_allocates_between_the_two_readings_measures_nothing(node: Node) -> None:
    share = node.prepare("claim")
    with share.cuda() as program:
        node.simulated.occupy(node.gpu, CONTEXT // MIB, program.process.pid, claim="claim")
        node.agent.accounts.remember()
        report = node.agent.report()
        program.ok("cuMemAlloc_v2", "out", 200 * MIB)
        node.agent.accounts.reconcile(report)
        assert calls.free_and_total(program)[0] == HALF * MIB - FIRST_CONTEXT - 200 * MIB


def test_what_the_books_do_not_explain_is_published(node: Node) -> None:
    share = node.prepare("claim")
    with share.cuda() as one, share.cuda() as two, share.cuda() as three:
        for program, more in ((one, 0), (two, 0), (three, 9)):
            node.simulated.occupy(node.gpu, CONTEXT // MIB + more, program.process.pid, claim="claim")
        Upkeep(node.agent).step()
        metrics = Metrics()
        metrics.attach(node.agent)
        line = f'migctl_claim_memory_drift_bytes{{claim="claim",gpu="{node.gpu}",request=""}} 9.437184e+06'
        assert line in metrics.text().decode()


def test_a_process_without_the_library_is_reported(node: Node) -> None:
    node.prepare("claim")
    with node.cuda.beside().cuda() as stranger:
        pid = stranger.process.pid
        node.simulated.occupy(node.gpu, 100, pid, claim="claim")
        Upkeep(node.agent).step()
        assert f"process {pid} uses GPU {node.gpu} without the fraction library" in node.agent.report().notes["claim"]


def test_a_program_that_says_nothing_is_known_by_the_accounts_it_has_mapped(node: Node) -> None:
    share = node.prepare("claim")
    owners = ProcessOwners(node.simulated.agent_dir / "shares")
    with share.cuda() as program, node.cuda.beside().cuda() as stranger:
        assert owners.claim_of(program.process.pid) == "claim"
        assert owners.processes_of("claim") == [program.process.pid]
        assert owners.claim_of(stranger.process.pid) == NO_CLAIM


def test_two_containers_of_a_pod_have_accounts_and_limits_of_their_own(node: Node) -> None:
    """One greedy container takes nothing of what the other was given, and is counted for itself."""
    big, small = node.prepare("uid.gpu-0"), node.prepare("uid.gpu-1", HALF // 2)
    assert placing.accounts(big.folder) != placing.accounts(small.folder)
    owners = ProcessOwners(node.simulated.agent_dir / "shares")
    with big.cuda() as greedy, small.cuda() as other:
        assert [calls.free_and_total(program)[1] for program in (greedy, other)] == [HALF * MIB, HALF // 2 * MIB]
        greedy.ok("cuMemAlloc_v2", "out", HALF * MIB - FIRST_CONTEXT)
        assert greedy.call("cuMemAlloc_v2", "out", MIB) == OUT_OF_MEMORY
        other.ok("cuMemAlloc_v2", "out", HALF // 2 * MIB - FIRST_CONTEXT)
        assert owners.claim_of(greedy.process.pid) == "uid.gpu-0"
        assert owners.claim_of(other.process.pid) == "uid.gpu-1"
        for program, share, mib in ((greedy, "uid.gpu-0", CONTEXT // MIB), (other, "uid.gpu-1", CONTEXT // MIB + 9)):
            node.simulated.occupy(node.gpu, mib, program.process.pid, claim=share)
        metrics = Metrics()
        metrics.attach(node.agent)
        used = f'migctl_claim_memory_used_bytes{{claim="uid",gpu="{node.gpu}",request="gpu-1"}} 3.24009984e+08'
        assert used in metrics.text().decode()


def test_what_a_claim_has_survives_the_agent_and_goes_with_the_claim(node: Node) -> None:
    share = node.prepare("claim")
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        node.agent.close()
        node.agent = node.start()
        assert node.prepare("claim").folder == share.folder
        assert [holder.pid for holder in region.holders(placing.accounts(share.folder))] == [program.process.pid]
    node.agent.unprepare("claim")
    assert not share.folder.exists()


def turn(share: Share) -> tuple[int, int]:
    """Start and length, out of the words of the only GPU in a region."""
    (word,) = struct.unpack_from("=I", share.region.read_bytes(), 24 + 24)
    return word >> 16, word & 0xFFFF


def test_the_agent_gives_turns_where_it_is_told_to(node: Node) -> None:
    shares = [node.prepare("left"), node.prepare("right", HALF // 2)]
    Upkeep(node.agent).step()
    assert [turn(share) for share in shares] == [(0, 0), (0, 0)]
    node.agent.close()
    node.agent = node.start(ComputePolicy.CAPS)
    Upkeep(node.agent).step()
    assert [turn(share) for share in shares] == [(0, 500), (500, 500)]
    node.agent.close()
    node.agent = node.start(ComputePolicy.WEIGHTS)
    Upkeep(node.agent).step()
    assert [turn(share) for share in shares] == [(0, 0), (0, 0)]


def test_a_small_share_leaves_room_for_a_context(node: Node) -> None:
    with node.prepare("small", 400).cuda() as program:
        assert calls.free_and_total(program) == (300 * MIB, 400 * MIB)


@pytest.mark.parametrize("given", ["", "/opt/own"])
def test_the_runner_puts_the_libraries_first(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    ask = GpuRequest(fraction=0.5)
    own = {"LD_LIBRARY_PATH": given} if given else {}
    workload = Workload(Meta("w"), WorkloadSpec(WorkloadType.TRAINING, ask, environment=own))
    claim = Claim(Meta("w-0"), ClaimSpec("w", "uid", ask))
    prepared = Prepared("claim", (), {"LD_LIBRARY_PATH": "/shares/claim/lib"})
    seen = runner.environment(workload, claim, prepared)
    assert seen["LD_LIBRARY_PATH"] == os.pathsep.join(filter(None, ("/shares/claim/lib", given)))


@pytest.mark.parametrize(
    ("accounts", "used", "context", "drift", "unbound"),
    [
        ({}, {}, None, 0, ()),
        ({1: ProcessUsage(10, 1)}, {1: 15}, 5, 0, ()),
        ({1: ProcessUsage(10, 1)}, {1: 7}, 0, -3, ()),
        ({1: ProcessUsage(10, 2)}, {1: 30}, 10, 0, ()),
        ({1: ProcessUsage(0, 1), 2: ProcessUsage(0, 1), 3: ProcessUsage(0, 1)}, {1: 5, 2: 5, 3: 50}, 5, 45, ()),
        ({1: ProcessUsage(10, 1)}, {2: 99}, None, 0, (2,)),
        ({1: ProcessUsage(10, 0)}, {1: 15}, None, 0, ()),
    ],
)
def test_reconciling(
    accounts: dict[int, ProcessUsage], used: dict[int, int], context: int | None, drift: int, unbound: tuple[int, ...]
) -> None:
    finding = reconcile(accounts, used)
    assert (finding.context, finding.drift, finding.unbound) == (context, drift, unbound)
