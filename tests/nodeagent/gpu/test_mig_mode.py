"""Switching MIG mode: what each architecture does, and who is refused."""

import os
from pathlib import Path

import pytest

from nodeagent.contract.allocation import StaleAllocation, Unsupported
from nodeagent.gpu.mig_mode import Outcome
from nodeagent.simulated_nvml.faults import Faults, parse
from nodeagent.simulated_nvml.hardware import SimulatedHardware
from nodeagent.simulated_nvml.state import reboot
from solver.model.demand import DeviceShare
from tests.nodeagent.machines import Machine, allocation, mig, part


def h100(tmp_path: Path, mode: str = ":nomig") -> Machine:
    return Machine(tmp_path, f"h100{mode}")


def hopper_share(machine: Machine, start: int = 0) -> DeviceShare:
    return mig(machine.gpu(), "1g.10gb", start, model="H100-80GB")


def test_hopper_switches_at_once_and_back(tmp_path: Path) -> None:
    machine = h100(tmp_path)
    agent = machine.agent()
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert (change.outcome, change.index, change.reason) == (Outcome.DONE, 0, "")
    agent.prepare(allocation("c1", hopper_share(machine)))
    agent.unprepare("c1")
    (change,) = agent.gpus.set_dynamic_mig(False)
    assert change.outcome is Outcome.DONE
    assert not agent.report().gpus[0].mig
    assert machine.layout() == []


def test_ampere_waits_for_a_reset_and_takes_nothing_until_then(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a100-40gb:nomig")
    agent = machine.agent()
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert change.outcome is Outcome.PENDING
    assert "nvidia-smi --gpu-reset -i 0" in change.reason
    assert "waits for a GPU reset" in agent.report().gpus[0].fenced
    SimulatedHardware(machine.state).reset(machine.gpu())
    assert (agent.report().gpus[0].fenced, agent.report().gpus[0].mig) == ("", True)
    agent.prepare(allocation("c1", mig(machine.gpu(), "1g.5gb", 0)))


def test_a_gpu_with_work_is_refused_by_name(tmp_path: Path) -> None:
    machine = h100(tmp_path)
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(), 1000)))
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert change.outcome is Outcome.REFUSED
    assert "used by job-c1" in change.reason
    assert not agent.report().gpus[0].mig


def test_a_gpu_with_a_strangers_process_is_refused(tmp_path: Path) -> None:
    machine = h100(tmp_path)
    agent = machine.agent()
    machine.occupy(machine.gpu(), 10, os.getpid())
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert change.outcome is Outcome.REFUSED
    assert f"process {os.getpid()} uses it" in change.reason


def test_foreign_instances_keep_the_mode_on(tmp_path: Path) -> None:
    machine = h100(tmp_path, mode="")
    agent = machine.agent()
    hardware = SimulatedHardware(machine.state)
    hardware.create_compute_instance(machine.gpu(), hardware.create_gpu_instance(machine.gpu(), 19, 0), 1)
    agent.prepare(allocation("c1", hopper_share(machine, 1)))
    agent.unprepare("c1")
    (change,) = agent.gpus.set_dynamic_mig(False)
    assert change.outcome is Outcome.REFUSED
    assert "migctl did not make (1g.10gb at 0)" in change.reason
    assert len(machine.layout()) == 2


def test_without_the_privilege_it_says_which(tmp_path: Path) -> None:
    agent = h100(tmp_path).agent(Faults(parse("nvmlDeviceSetMigMode=NO_PERMISSION")))
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert change.outcome is Outcome.REFUSED
    assert "CAP_SYS_ADMIN" in change.reason
    assert agent.gpus.set_dynamic_mig(True)[0].outcome is Outcome.DONE


def test_a_reboot_takes_hoppers_mode_and_the_agent_brings_it_back(tmp_path: Path) -> None:
    machine = h100(tmp_path)
    agent = machine.agent()
    agent.gpus.set_dynamic_mig(True)
    agent.close()
    with machine.state.change() as state:
        reboot(state, state["host_boot_id"])
    assert not machine.gpus()[0]["mig"]
    assert machine.agent().report().gpus[0].mig


def test_what_nobody_asked_for_is_not_switched_on(tmp_path: Path) -> None:
    machine = h100(tmp_path, mode="")
    machine.agent().close()
    with machine.state.change() as state:
        reboot(state, state["host_boot_id"])
    assert not machine.agent().report().gpus[0].mig


def test_only_mig_gpus_are_switched_and_a_node_without_any_says_so(tmp_path: Path) -> None:
    mixed = Machine(tmp_path / "mixed", "v100,h100:nomig")
    assert [c.gpu for c in mixed.agent().gpus.set_dynamic_mig(True)] == [mixed.gpu(1)]
    plain = Machine(tmp_path / "plain", "v100").agent()
    with pytest.raises(Unsupported, match="no GPU of node node-1 has MIG"):
        plain.gpus.set_dynamic_mig(True)
    with pytest.raises(StaleAllocation, match="has no GPU nonsense"):
        plain.gpus.set_dynamic_mig(True, ["nonsense"])


def test_one_gpu_in_use_keeps_the_whole_node_as_it_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "h100:nomig=2")
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(1), 1000)))
    (change,) = agent.gpus.set_dynamic_mig(True)
    assert (change.index, change.outcome) == (1, Outcome.REFUSED)
    assert [g.mig for g in agent.report().gpus] == [False, False]
