"""Health, watchdog, metrics and logs, each through what the agent shows."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.contract.allocation import Fenced
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.simulated_nvml import hardware
from nodeagent.upkeep.metrics import Metrics
from nodeagent.upkeep.upkeep import Upkeep
from nodeagent.upkeep.watchdog import WatchdogPolicy
from tests.limits import WAIT_S
from tests.nodeagent.machines import Machine, allocation, mig, part


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_fatal_xid_fences_its_gpu_and_a_programs_error_does_not(machine: Machine) -> None:
    events: list[AgentEvent] = []
    agent = machine.agent(observers=[events.append])
    upkeep = Upkeep(agent, every_s=600)
    upkeep.start()
    hardware.fail(machine.state, machine.gpu(1), xid=31)
    hardware.fail(machine.state, machine.gpu(0), xid=79)
    until(lambda: sum(e.kind is EventKind.FAULTY for e in events) == 2)
    upkeep.stop()
    report = agent.report()
    assert "fallen off the bus" in report.gpus[0].fenced
    assert report.gpus[1].fenced == ""
    with pytest.raises(Fenced, match="XID 79"):
        agent.prepare(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)))
    agent.prepare(allocation("c2", part(machine.gpu(1), 100)))


RESET = (46, 48, 62, 64, 74, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)
OTHER_RECOVERY = (54, 79, 142, 151)
PROGRAMS = (8, 13, 31, 32, 39, 43, 45, 60, 63, 69, 78, 92, 94, 99, 121, 137, 139, 144, 154)


@pytest.mark.parametrize("xid", [*RESET, *OTHER_RECOVERY, *PROGRAMS])
def test_a_gpu_is_fenced_by_nvidia_s_table_of_recovery_actions(machine: Machine, xid: int) -> None:
    """B6: after XID 109 a GPU got work."""
    agent = machine.agent()
    agent.gpus.note_xid(machine.gpu(1), xid)
    fenced = agent.report().gpus[1].fenced
    assert fenced.startswith(f"XID {xid}, ") if xid in (*RESET, *OTHER_RECOVERY) else fenced == ""
    assert ("reset the GPU" in fenced) or xid not in RESET


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"celsius": 95}, "slows down at 92 C"),
        ({"ecc_uncorrected": 3}, "3 uncorrected"),
        ({"remap_failed": True}, "row"),
        ({"recovery": 1}, "the driver asks for a recovery: reset the GPU"),
        ({"recovery": 2}, "reboot the node"),
        ({"recovery": 99}, "action 99"),
    ],
)
def test_a_gpu_in_bad_condition_takes_nothing_new_until_it_is_better(
    machine: Machine, condition: dict[str, int], says: str
) -> None:
    agent = machine.agent()
    held = allocation("c1", mig(machine.gpu(0), "1g.5gb", 0))
    agent.prepare(held)
    hardware.fail(machine.state, machine.gpu(0), **condition)
    agent.gpus.check_health()
    assert says in agent.report().gpus[0].fenced
    agent.prepare(held)
    with pytest.raises(Fenced):
        agent.prepare(allocation("c2", mig(machine.gpu(0), "1g.5gb", 1)))
    hardware.fail(machine.state, machine.gpu(0), celsius=30, ecc_uncorrected=0, remap_failed=False, recovery=0)
    agent.gpus.check_health()
    agent.prepare(allocation("c2", mig(machine.gpu(0), "1g.5gb", 1)))


def test_who_oversteps_is_reported_and_goes_on(machine: Machine, program: subprocess.Popen[bytes]) -> None:
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 9000, program.pid, "c1")
    upkeep = Upkeep(agent)
    upkeep.step()
    assert agent.report().notes == {}
    upkeep.step()
    assert "uses 9000 MiB of its 8080 MiB" in agent.report().notes["c1"]
    assert program.poll() is None


def test_who_oversteps_is_stopped_where_the_policy_says_so(machine: Machine, program: subprocess.Popen[bytes]) -> None:
    events: list[AgentEvent] = []
    agent = machine.agent(observers=[events.append])
    agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 9000, program.pid, "c1")
    upkeep = Upkeep(agent, policy=WatchdogPolicy.STOP)
    upkeep.step()
    upkeep.step()
    assert program.wait(WAIT_S) == -9
    assert [e.claim for e in events if e.kind is EventKind.STOPPED] == ["c1"]


def test_what_the_driver_keeps_for_a_process_is_tolerated(machine: Machine, program: subprocess.Popen[bytes]) -> None:
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 8300, program.pid, "c1")
    upkeep = Upkeep(agent, policy=WatchdogPolicy.STOP)
    upkeep.step()
    upkeep.step()
    assert agent.report().notes == {}


def test_a_claim_on_a_gpu_it_has_no_share_of_is_stopped_and_a_stranger_is_not(
    machine: Machine, program: subprocess.Popen[bytes]
) -> None:
    agent = machine.agent()
    agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    machine.occupy(machine.gpu(1), 10, os.getpid(), "")
    machine.occupy(machine.gpu(1), 10, program.pid, "elsewhere")
    machine.owners.pop(os.getpid())
    upkeep = Upkeep(agent, policy=WatchdogPolicy.STOP)
    upkeep.step()
    upkeep.step()
    assert program.wait(WAIT_S) == -9
    notes = agent.report().notes
    assert "where it has no share" in notes["elsewhere"]
    assert "belongs to no claim" in notes[f"pid {os.getpid()}"]


def test_a_neighbour_inside_anothers_instance_is_found(machine: Machine, program: subprocess.Popen[bytes]) -> None:
    agent = machine.agent()
    prepared = agent.prepare(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)))
    machine.occupy(prepared.devices[0].uuid, 10, program.pid, "c2")
    upkeep = Upkeep(agent, policy=WatchdogPolicy.STOP)
    upkeep.step()
    upkeep.step()
    assert program.wait(WAIT_S) == -9


def sample(text: bytes, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(text.decode()):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return float(found.value)
    return None


def test_metrics_count_what_happens_and_show_what_is(machine: Machine) -> None:
    metrics = Metrics()
    agent = machine.agent(observers=[metrics.observer])
    metrics.attach(agent)
    gpu, v100 = machine.gpu(0), machine.gpu(1)
    agent.prepare(allocation("c1", mig(gpu, "2g.10gb", 0)))
    agent.unprepare("c1")
    agent.prepare(allocation("c2", mig(gpu, "2g.10gb", 0)))
    agent.prepare(allocation("c3", mig(gpu, "1g.5gb", 4)))
    agent.unprepare("c3")
    agent.prepare(allocation("c4", part(v100, 8080)))
    machine.occupy(v100, 500, os.getpid(), "c4")
    text = metrics.text()
    assert sample(text, "migctl_mig_operations_total", gpu=gpu, operation="created") == 2
    assert sample(text, "migctl_mig_operations_total", gpu=gpu, operation="reused") == 1
    assert sample(text, "migctl_claim_seconds_count", operation="prepared") == 4
    assert sample(text, "migctl_mig_units", gpu=gpu, state="busy") == 2
    assert sample(text, "migctl_mig_units", gpu=gpu, state="idle") == 1
    assert sample(text, "migctl_mig_units", gpu=gpu, state="free") == 5
    assert sample(text, "migctl_mig_instances", gpu=gpu, profile="2g.10gb", state="busy") == 1
    assert sample(text, "migctl_mig_instance_idle_seconds", gpu=gpu, profile="1g.5gb", start="4") is not None
    assert sample(text, "migctl_mig_instance_idle_seconds", gpu=gpu, profile="2g.10gb") is None
    assert sample(text, "migctl_gpu_memory_used_bytes", gpu=v100) == 500 << 20
    assert sample(text, "migctl_claim_memory_used_bytes", claim="c4", gpu=v100, request="") == 500 << 20
    assert sample(text, "migctl_claim_memory_limit_bytes", claim="c4", gpu=v100, request="") == 8080 << 20
    assert sample(text, "migctl_gpu_utilization_ratio", gpu=v100) == 0
    assert sample(text, "migctl_gpu_temperature_celsius", gpu=v100) == 29


def test_refusals_and_fences_are_counted_and_told(machine: Machine) -> None:
    metrics = Metrics()
    agent = machine.agent(observers=[metrics.observer])
    metrics.attach(agent)
    with pytest.raises(Exception, match="this is node-1"):
        agent.prepare(allocation("c1", part(machine.gpu(1), 100), node="elsewhere"))
    hardware.fail(machine.state, machine.gpu(1), ecc_uncorrected=1)
    agent.gpus.check_health()
    text = metrics.text()
    assert sample(text, "migctl_claim_refusals_total", reason="stale") == 1
    assert sample(text, "migctl_gpu_fenced", gpu=machine.gpu(1)) == 1
    assert sample(text, "migctl_gpu_errors_total", gpu=machine.gpu(1), kind="condition") == 1
