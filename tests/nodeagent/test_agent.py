"""prepare, unprepare, report and recover, through the agent's public door."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from nodeagent.agent import Agent
from nodeagent.contract import environment
from nodeagent.contract.allocation import Busy, Fenced, StaleAllocation, Unsupported
from nodeagent.gpu.inventory import NO_CLAIM
from nodeagent.journal.locking import HeldByAnother
from nodeagent.nvml import Nvml
from nodeagent.simulated_nvml.faults import Fault, Faults, parse
from nodeagent.simulated_nvml.hardware import SimulatedHardware
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import reboot
from solver.model.cluster import InstanceState
from tests.limits import WAIT_S
from tests.nodeagent.machines import NODE, Machine, allocation, mig, part, whole


def test_a_mig_share_becomes_an_instance_and_stays_idle_afterwards(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    prepared = agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    (device,) = prepared.devices
    assert machine.layout() == [("2g.10gb", 2)]
    assert device.uuid.startswith("MIG-")
    assert prepared.environment[environment.CUDA_DEVICES] == device.uuid
    assert agent.report().held == ("c1",)
    agent.unprepare("c1")
    (instance,) = agent.report().gpus[0].instances
    assert (instance.profile, instance.start, instance.state, instance.claim) == (
        "2g.10gb",
        2,
        InstanceState.IDLE,
        None,
    )


def test_an_equal_idle_instance_is_reused_without_a_create(machine: Machine) -> None:
    calls: list[str] = []
    agent, gpu = machine.agent(Faults(observe=calls.append)), machine.gpu()
    first = agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    agent.unprepare("c1")
    calls.clear()
    second = agent.prepare(allocation("c2", mig(gpu, "2g.10gb", 2)))
    assert second.devices[0].uuid == first.devices[0].uuid
    assert not [c for c in calls if "Create" in c or "Destroy" in c]


def test_idle_instances_in_the_way_are_destroyed_and_no_others(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    for claim, start in (("a", 0), ("b", 2), ("c", 4)):
        agent.prepare(allocation(claim, mig(gpu, "2g.10gb", start)))
    agent.unprepare("a")
    agent.unprepare("b")
    agent.prepare(allocation("d", mig(gpu, "3g.20gb", 0)))
    assert machine.layout() == [("3g.20gb", 0), ("2g.10gb", 4)]


def test_an_idle_media_instance_elsewhere_gives_its_engines_up(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    agent.prepare(allocation("a", mig(gpu, "1g.5gb+me", 0)))
    agent.unprepare("a")
    agent.prepare(allocation("b", mig(gpu, "1g.5gb+me", 6)))
    assert machine.layout() == [("1g.5gb+me", 6)]


def test_prepare_again_gives_the_same_answer(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    wanted = allocation("c1", mig(gpu, "1g.5gb", 0))
    assert agent.prepare(wanted) == agent.prepare(wanted)
    agent.unprepare("c1")
    agent.unprepare("c1")
    agent.unprepare("never-heard-of")


def test_what_a_held_claim_needs_can_be_asked_without_holding_it(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    prepared = agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    assert agent.prepared_for("c1") == prepared
    agent.unprepare("c1")
    assert agent.prepared_for("c1") is None
    assert agent.report().held == ()


def test_a_held_instance_is_given_to_nobody_else(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    with pytest.raises(Busy, match="held by job-c1"):
        agent.prepare(allocation("c2", mig(gpu, "2g.10gb", 2)))
    with pytest.raises(Busy, match="job-c1 still holds"):
        agent.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))
    assert agent.report().held == ("c1",)


def test_foreign_instances_are_shown_and_never_touched(machine: Machine) -> None:
    hardware, gpu = SimulatedHardware(machine.state), machine.gpu()
    hardware.create_compute_instance(gpu, hardware.create_gpu_instance(gpu, 14, 0), 2)
    agent = machine.agent()
    assert agent.report().gpus[0].instances[0].state is InstanceState.FOREIGN
    with pytest.raises(StaleAllocation, match="not made by this agent"):
        agent.prepare(allocation("c1", mig(gpu, "3g.20gb", 0)))
    with pytest.raises(StaleAllocation, match="not made by this agent"):
        agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 0)))
    assert machine.layout() == [("2g.10gb", 0)]


def test_unprepare_waits_for_the_processes(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    prepared = agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    machine.occupy(prepared.devices[0].uuid, 500, os.getpid(), "c1")
    (process,) = agent.report().processes
    assert (process.claim, process.memory_mib, process.instance) == ("c1", 500, prepared.devices[0].uuid)
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        agent.unprepare("c1")
    machine.vacate()
    agent.unprepare("c1")
    assert agent.report().held == ()


class NoProcesses(Faults):
    """The driver no longer says which processes there are."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self._error = error

    def meet(self, call: str) -> Fault | None:
        return Fault(call, error=self._error) if "RunningProcesses" in call else None


@pytest.mark.parametrize("error", [9, 18, 999], ids=["not-loaded", "version-mismatch", "unknown"])
def test_a_share_whose_processes_have_ended_is_given_back_without_the_driver(machine: Machine, error: int) -> None:
    """F1: a driver that was upgraded answers this process no more."""
    agent, gpu = machine.agent(), machine.gpu()
    living = f"c-{uuid4()}"  # looked for among all processes of this machine
    for claim, start in (("c1", 2), (living, 0)):
        agent.prepare(allocation(claim, mig(gpu, "2g.10gb", start)))
    agent.close()
    agent = machine.agent(NoProcesses(error))
    agent.unprepare("c1")
    program = [sys.executable, "-c", "print('runs', flush=True); import time; time.sleep(1000)"]
    process = subprocess.Popen(program, env={environment.CLAIM: living}, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(Busy, match=f"still runs as process {process.pid}"):
            agent.unprepare(living)
    finally:
        process.kill()
        process.communicate()
    agent.unprepare(living)
    assert agent.held() == ()


def test_a_whole_gpu_is_given_back_although_a_process_of_nobody_s_stays_on_it(tmp_path: Path) -> None:
    """A display server, a monitor, or a program that somebody started beside migctl."""
    machine = Machine(tmp_path, "v100=1")
    agent, gpu = machine.agent(), machine.gpu()
    agent.prepare(allocation("c1", whole(gpu)))
    machine.occupy(gpu, 500, os.getpid(), NO_CLAIM)
    agent.unprepare("c1")
    agent.prepare(allocation("c2", whole(gpu)))
    machine.owners[os.getpid()] = "c2"
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        agent.unprepare("c2")
    del machine.owners[os.getpid()]  # nobody can tell
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        agent.unprepare("c2")


def test_a_process_on_an_idle_instance_keeps_it_from_others(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    prepared = agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    agent.unprepare("c1")
    machine.occupy(prepared.devices[0].uuid, 500, os.getpid())
    assert agent.report().gpus[0].instances[0].state is InstanceState.BUSY
    with pytest.raises(Busy, match="still used by process"):
        agent.prepare(allocation("c2", mig(gpu, "2g.10gb", 2)))
    with pytest.raises(Busy, match="still used by process"):
        agent.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))


def test_in_use_without_a_process_is_quarantined_and_planned_around(machine: Machine) -> None:
    agent, gpu = machine.agent(Faults(parse("nvmlComputeInstanceDestroy#1=IN_USE"))), machine.gpu()
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    agent.unprepare("c1")
    with pytest.raises(StaleAllocation, match="quarantined"):
        agent.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))
    assert agent.report().gpus[0].instances[0].state is InstanceState.QUARANTINED
    with pytest.raises(StaleAllocation, match="quarantined"):
        agent.prepare(allocation("c3", mig(gpu, "2g.10gb", 2)))
    agent.prepare(allocation("c4", mig(gpu, "3g.20gb", 4)))
    agent.close()
    again = machine.agent()
    again.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))
    assert machine.layout() == [("3g.20gb", 0), ("3g.20gb", 4)]


def test_stuck_after_its_compute_instance_is_gone_stays_ours_and_is_freed_later(machine: Machine) -> None:
    agent, gpu = (
        machine.agent(Faults(parse("nvmlGpuInstanceDestroy#1=IN_USE;nvmlGpuInstanceDestroy#2=IN_USE"))),
        machine.gpu(),
    )
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    agent.unprepare("c1")
    with pytest.raises(StaleAllocation, match="quarantined"):
        agent.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))
    assert agent.report().gpus[0].instances[0].state is InstanceState.QUARANTINED
    agent.prepare(allocation("c4", mig(gpu, "3g.20gb", 4)))
    assert machine.layout() == [("3g.20gb", 4)]


def test_software_shares_carry_their_limit(machine: Machine) -> None:
    agent, v100 = machine.agent(), machine.gpu(1)
    prepared = agent.prepare(allocation("c1", part(v100, 8080)))
    limits = Path(prepared.environment[environment.LIMITS])
    assert json.loads(limits.read_text())["devices"] == {v100: {"memory_mib": 8080, "portion": 0.5}}
    agent.prepare(allocation("c2", part(v100, 8080)))
    with pytest.raises(Busy, match="0 MiB free of 16160"):
        agent.prepare(allocation("c3", part(v100, 100)))
    with pytest.raises(Busy, match="still held by job-c1"):
        agent.prepare(allocation("c3", whole(v100)))
    assert [p.claim for p in agent.report().gpus[1].parts] == ["c1", "c2"]
    agent.unprepare("c1")
    assert not limits.exists()


def test_a_software_share_is_kept_while_its_own_processes_live(machine: Machine) -> None:
    agent, v100 = machine.agent(), machine.gpu(1)
    agent.prepare(allocation("c1", part(v100, 8080)))
    agent.prepare(allocation("c2", part(v100, 8080)))
    machine.occupy(v100, 100, os.getpid(), "c2")
    agent.unprepare("c1")
    with pytest.raises(Busy):
        agent.unprepare("c2")


def test_a_whole_gpu_is_shared_with_nobody(machine: Machine) -> None:
    agent, v100 = machine.agent(), machine.gpu(1)
    prepared = agent.prepare(allocation("c1", whole(v100)))
    assert prepared.devices[0].uuid == v100
    assert agent.report().gpus[1].held_by == "c1"
    with pytest.raises(Busy, match="still held by job-c1"):
        agent.prepare(allocation("c2", part(v100, 100)))


def test_allocations_that_are_not_ours_are_stale(machine: Machine) -> None:
    agent, a100, v100 = machine.agent(), machine.gpu(0), machine.gpu(1)
    with pytest.raises(StaleAllocation, match="this is node-1"):
        agent.prepare(allocation("c", mig(a100, "1g.5gb", 0), node="node-2"))
    with pytest.raises(StaleAllocation, match="has no GPU GPU-gone"):
        agent.prepare(allocation("c", part("GPU-gone", 100)))
    with pytest.raises(StaleAllocation, match="another GPU model"):
        agent.prepare(allocation("c", mig(a100, "1g.20gb", 0, model="A100-80GB")))
    with pytest.raises(StaleAllocation, match=r"MIG mode of GPU .* is on"):
        agent.prepare(allocation("c", part(a100, 100)))
    with pytest.raises(Unsupported, match="has no MIG"):
        agent.prepare(allocation("c", mig(v100, "1g.5gb", 0)))
    assert agent.report().held == ()


def test_all_devices_or_none(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a100-40gb=2")
    agent = machine.agent()
    first, second = machine.gpu(0), machine.gpu(1)
    agent.prepare(allocation("in-the-way", mig(second, "1g.5gb", 0)))
    with pytest.raises(Busy):
        agent.prepare(allocation("c", mig(first, "2g.10gb", 0), mig(second, "2g.10gb", 0)))
    assert agent.report().held == ("in-the-way",)
    agent.unprepare("in-the-way")
    prepared = agent.prepare(allocation("c", mig(first, "2g.10gb", 0), mig(second, "2g.10gb", 0)))
    assert prepared.environment[environment.VISIBLE_DEVICES] == ",".join(d.uuid for d in prepared.devices)


def test_a_second_share_for_the_same_claim_is_stale(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    agent.prepare(allocation("c", mig(gpu, "1g.5gb", 0)))
    with pytest.raises(StaleAllocation, match="already holds another share"):
        agent.prepare(allocation("c", mig(gpu, "1g.5gb", 1)))


def test_a_restarted_agent_finds_everything_again(machine: Machine) -> None:
    agent, gpu, v100 = machine.agent(), machine.gpu(0), machine.gpu(1)
    wanted = allocation("c1", mig(gpu, "2g.10gb", 2))
    prepared = agent.prepare(wanted)
    agent.prepare(allocation("c2", part(v100, 5000)))
    before = agent.report()
    agent.close()
    again = machine.agent()
    after = again.report()
    assert (after.gpus, after.held) == (before.gpus, before.held)
    assert after.generation > before.generation
    assert again.prepare(wanted) == prepared


def test_after_a_reboot_nothing_is_held_and_prepare_makes_it_anew(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    wanted = allocation("c1", mig(gpu, "2g.10gb", 2))
    before = agent.prepare(wanted)
    agent.close()
    with machine.state.change() as state:
        reboot(state, state["host_boot_id"])
    again = machine.agent()
    assert again.report().held == ()
    assert again.report().gpus[0].instances == ()
    after = again.prepare(wanted)
    assert after.devices[0].uuid != before.devices[0].uuid


def test_a_held_instance_that_vanished_keeps_its_place_and_is_made_again(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    wanted = allocation("c1", mig(gpu, "2g.10gb", 2))
    agent.prepare(wanted)
    nvml = Nvml(machine.library())
    (instance,) = nvml.instances(nvml.gpus()[0])
    nvml.destroy_compute_instance(gpu, instance.gi, 0)
    nvml.destroy_gpu_instance(gpu, instance.gi)
    (lost,) = agent.report().gpus[0].instances
    assert (lost.state, lost.claim, lost.uuid) == (InstanceState.BUSY, "c1", None)
    with pytest.raises(Busy):
        agent.prepare(allocation("c2", mig(gpu, "3g.20gb", 0)))
    assert agent.prepare(wanted).devices[0].uuid in {i.uuid for i in agent.report().gpus[0].instances}


@pytest.mark.parametrize("nth", [1, 2, 3, 5])
def test_a_driver_that_denies_mig_for_a_moment_takes_no_instance_away(machine: Machine, nth: int) -> None:
    """NOT_SUPPORTED meant "no MIG", and what was made there was forgotten: foreign for ever after."""
    agent, gpu = machine.agent(), machine.gpu()
    agent.prepare(allocation("held", mig(gpu, "1g.5gb", 0)))
    agent.prepare(allocation("idle", mig(gpu, "1g.5gb", 1)))
    agent.unprepare("idle")
    agent.close()
    agent = machine.agent(Faults(parse(f"nvmlDeviceGetMigMode#{nth}=NOT_SUPPORTED")))
    for _ in range(3):
        agent.report()
        agent.gpus.recover()
    report = agent.report()
    assert report.gpus[0].fenced == ""
    assert [(i.state, i.claim) for i in report.gpus[0].instances] == [
        (InstanceState.BUSY, "held"),
        (InstanceState.IDLE, None),
    ]


def test_the_gpus_of_a_claim_are_cut_side_by_side(tmp_path: Path) -> None:
    """Each driver call waits until all eight GPUs have come to theirs."""
    machine = Machine(tmp_path, "a100-40gb=8")
    together = threading.Barrier(8)

    def wait(seconds: float) -> None:
        together.wait(WAIT_S)

    library = SimulatedNvml(machine.state_path, faults=Faults(), sleep=wait)
    agent = Agent(Nvml(library), machine.agent_dir, NODE, boot_id=library.boot_id, claim_of=machine.owners.get)
    prepared = agent.prepare(allocation("wide", *(mig(machine.gpu(i), "7g.40gb", 0) for i in range(8))))
    assert [device.gpu for device in prepared.devices] == [machine.gpu(i) for i in range(8)]
    assert all(machine.layout(i) == [("7g.40gb", 0)] for i in range(8))
    agent.close()


def test_where_one_gpu_of_a_claim_refuses_none_is_held(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a100-40gb=8")
    agent = machine.agent()
    agent.prepare(allocation("before", mig(machine.gpu(5), "1g.5gb", 3)))
    wide = allocation("wide", *(mig(machine.gpu(i), "7g.40gb", 0) for i in range(8)))
    with pytest.raises(Busy, match="job-before still holds"):
        agent.prepare(wide)
    assert agent.report().held == ("before",)
    agent.unprepare("before")
    agent.prepare(wide)
    assert agent.report().held == ("wide",)


def test_two_agents_never_share_a_directory(machine: Machine) -> None:
    machine.agent()
    with pytest.raises(
        HeldByAnother, match=rf"another node agent \(process {os.getpid()}\) works on .*: stop it first"
    ):
        machine.agent()


def test_a_damaged_journal_fences_its_gpu_and_no_other(machine: Machine) -> None:
    agent, gpu, v100 = machine.agent(), machine.gpu(0), machine.gpu(1)
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    agent.close()
    journal = machine.agent_dir / "gpus" / f"{gpu}.log"
    journal.write_bytes(b'{"op":"nonsense"}\n' + journal.read_bytes())
    again = machine.agent()
    fenced = again.report().gpus[0]
    assert "line 1 is damaged" in fenced.fenced
    assert [i.state for i in fenced.instances] == [InstanceState.FOREIGN]
    with pytest.raises(Fenced, match="is damaged"):
        again.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    again.prepare(allocation("c2", part(v100, 100)))


def test_a_gpu_that_cannot_be_recovered_is_fenced_until_it_can(machine: Machine) -> None:
    faults = "nvmlGpuInstanceCreateComputeInstance#1=GPU_IS_LOST;nvmlGpuInstanceDestroy#1=GPU_IS_LOST"
    agent, gpu = machine.agent(Faults(parse(faults))), machine.gpu()
    with pytest.raises(Fenced, match="cannot be recovered"):
        agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    assert machine.layout() == [("2g.10gb", 2)]
    agent.prepare(allocation("c2", part(machine.gpu(1), 100)))
    report = agent.report()
    assert (report.gpus[0].fenced, report.gpus[0].instances) == ("", ())
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))


def test_a_failed_create_leaves_nothing_behind(machine: Machine) -> None:
    agent, gpu = machine.agent(Faults(parse("nvmlGpuInstanceCreateComputeInstance#1=UNKNOWN"))), machine.gpu()
    with pytest.raises(Busy, match="nothing was changed"):
        agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 2)))
    assert machine.layout() == []
    assert agent.report().held == ()


def test_gpus_are_prepared_in_parallel_and_one_hanging_stops_no_other(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a100-40gb=2")
    faults = Faults(parse("nvmlDeviceCreateGpuInstanceWithPlacement#1=hang"))
    agent = machine.agent(faults)
    agent.report()
    hanging = threading.Thread(
        target=agent.prepare, args=(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)),), daemon=True
    )
    hanging.start()
    assert faults.hanging.wait(WAIT_S)
    agent.prepare(allocation("c2", mig(machine.gpu(1), "1g.5gb", 0)))
    report = agent.report()
    assert report.gpus[0].instances == ()
    assert [i.claim for i in report.gpus[1].instances] == ["c2"]
    faults.released.set()
    hanging.join(WAIT_S)
    assert agent.report().held == ("c1", "c2")


def test_storms_of_prepares_never_overlap(machine: Machine) -> None:
    agent, gpu = machine.agent(), machine.gpu()
    wanted = [allocation(f"c{i}", mig(gpu, "1g.5gb", i % 7)) for i in range(21)]
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            outcomes.append(agent.prepare(wanted[number]).devices[0].uuid)
        except Busy:
            outcomes.append("busy")

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len({o for o in outcomes if o != "busy"}) == 7
    assert outcomes.count("busy") == 14
    assert len(agent.report().held) == 7


def test_starting_again_and_again_leaks_no_file(machine: Machine) -> None:
    def once() -> int:
        agent = machine.agent()
        agent.prepare(allocation("c1", mig(machine.gpu(), "1g.5gb", 0)))
        agent.unprepare("c1")
        agent.close()
        return len(os.listdir("/proc/self/fd"))

    once()
    assert once() == once()


def test_an_instance_of_a_profile_that_the_driver_leaves_out_fences_its_gpu_and_is_not_forgotten(
    machine: Machine,
) -> None:
    first = machine.agent()
    first.prepare(allocation("c1", mig(machine.gpu(), "1g.5gb", 0)))
    first.close()
    refused = "nvmlDeviceGetGpuInstanceProfileInfoV#{}=NOT_SUPPORTED"
    second = machine.agent(Faults(parse(";".join(refused.format(n) for n in (1, 2)))))
    assert "did not name" in second.report().gpus[0].fenced
    second.close()
    last = machine.agent().report()
    assert not last.gpus[0].fenced
    assert [(i.profile, i.claim) for i in last.gpus[0].instances] == [("1g.5gb", "c1")]


@pytest.mark.parametrize(
    ("mib", "claim", "foreign"),
    [(15000, "", 15000), (300, "", 0), (15000, "c9", 0)],
    ids=["a process of no claim", "a display server", "a claim's own process"],
)
def test_memory_of_processes_of_no_claim_is_reported(tmp_path: Path, mib: int, claim: str, foreign: int) -> None:
    machine = Machine(tmp_path, "v100=1")
    agent = machine.agent()
    machine.occupy(machine.gpu(), mib, os.getpid(), claim)
    assert agent.report().gpus[0].foreign_mib == foreign


def test_a_process_that_nobody_can_name_is_a_stranger_where_no_claim_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "v100=1")
    agent = machine.agent()
    machine.occupy(machine.gpu(), 7000, os.getpid())
    del machine.owners[os.getpid()]  # as of a process of another PID namespace
    assert agent.report().gpus[0].foreign_mib == 7000
    agent.prepare(allocation("c1", part(machine.gpu(), 1616, 0.1)))
    assert agent.report().gpus[0].foreign_mib == 7000
    machine.occupy(machine.gpu(), 7000, os.getppid())
    del machine.owners[os.getppid()]  # it may be of c1
    assert agent.report().gpus[0].foreign_mib == 7000


def test_memory_on_a_gpu_that_is_held_whole_is_its_holders(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "v100=1")
    agent = machine.agent()
    agent.prepare(allocation("c1", whole(machine.gpu())))
    machine.occupy(machine.gpu(), 15000, os.getpid())
    assert agent.report().gpus[0].foreign_mib == 0
