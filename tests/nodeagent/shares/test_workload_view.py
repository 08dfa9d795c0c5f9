"""What a workload on simulated GPUs sees: `nvidia-smi` and the quickstart, as real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.agent import Agent
from nodeagent.contract import environment
from nodeagent.contract.allocation import Busy, Prepared
from nodeagent.start import open_agent
from solver.model.demand import DeviceShare
from tests.limits import WAIT_S
from tests.nodeagent.machines import NODE, Machine, allocation, mig, part


@pytest.fixture
def agent(machine: Machine) -> Agent:
    return open_agent(NODE, machine.agent_dir, simulated=machine.state_path)


def variables(prepared: Prepared) -> dict[str, str]:
    """The environment as a supervisor builds it."""
    added = dict(prepared.environment)
    path = f"{added[environment.PATH_PREFIX]}:{os.environ['PATH']}"
    return {**os.environ, **added, "PATH": path}


def smi(prepared: Prepared, *arguments: str) -> str:
    done = subprocess.run(
        ["nvidia-smi", *arguments], env=variables(prepared), capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_half_a_v100_shows_8080_mib_in_all(agent: Agent, machine: Machine) -> None:
    text = smi(agent.prepare(allocation("c1", part(machine.gpu(1), 8080))))
    assert "0MiB / 8080MiB" in re.sub(" +", " ", text)
    assert text.count("Tesla V100") == 1
    assert "A100" not in text


def test_inside_a_mig_share_there_is_one_mig_device(agent: Agent, machine: Machine) -> None:
    agent.prepare(allocation("other", mig(machine.gpu(0), "3g.20gb", 4)))
    prepared = agent.prepare(allocation("c1", mig(machine.gpu(0), "2g.10gb", 2)))
    assert re.findall(r"UUID: (MIG-[0-9a-f-]+)", smi(prepared, "-L")) == [prepared.devices[0].uuid]
    assert "/ 9856MiB" in re.sub(" +", " ", smi(prepared))


def test_a_tenant_does_not_see_its_neighbours_processes(agent: Agent, machine: Machine) -> None:
    neighbour = agent.prepare(allocation("other", mig(machine.gpu(0), "3g.20gb", 4)))
    machine.occupy(neighbour.devices[0].uuid, 100, os.getpid(), "other")
    prepared = agent.prepare(allocation("c1", mig(machine.gpu(0), "2g.10gb", 2)))
    assert "No running processes found" in smi(prepared)
    assert f" {os.getpid()} " in smi(neighbour)


def test_queries_are_csv(agent: Agent, machine: Machine) -> None:
    prepared = agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    assert smi(prepared, "--query-gpu=name,memory.total", "--format=csv") == (
        "name, memory.total [MiB]\nTesla V100-SXM2-16GB, 8080 MiB\n"
    )
    assert smi(prepared, "--query-gpu=memory.free", "--format=csv,noheader,nounits") == "8080\n"


def test_every_line_of_the_table_is_as_wide_as_nvidias(agent: Agent, machine: Machine) -> None:
    prepared = agent.prepare(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)))
    lines = [line for line in smi(prepared).splitlines()[1:] if line]
    assert {len(line) for line in lines} == {91}


def start_quickstart(prepared: Prepared) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nodeagent.quickstart"], env=variables(prepared), stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("share", "mib"), [(lambda m: part(m.gpu(1), 8080), 8080), (lambda m: mig(m.gpu(0), "2g.10gb", 2), 9856)]
)
def test_the_quickstart_holds_its_share_until_sigterm(
    agent: Agent, machine: Machine, share: Callable[[Machine], DeviceShare], mib: int
) -> None:
    prepared = agent.prepare(allocation("c1", share(machine)))
    with start_quickstart(prepared) as program:
        assert program.stdout is not None
        uuid = prepared.devices[0].uuid
        assert program.stdout.readline() == f"quickstart: holding {mib} MiB of {uuid} until stopped\n"
        (process,) = agent.report().processes
        assert (process.pid, process.memory_mib, process.claim) == (program.pid, mib, "c1")
        assert f"{mib}MiB / {mib}MiB" in re.sub(" +", " ", smi(prepared))
        with pytest.raises(Busy, match=f"process {program.pid}"):
            agent.unprepare("c1")
        program.terminate()
        assert program.wait(WAIT_S) == 0
    agent.unprepare("c1")


def test_a_killed_program_holds_nothing(agent: Agent, machine: Machine) -> None:
    prepared = agent.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    with start_quickstart(prepared) as program:
        assert program.stdout is not None
        program.stdout.readline()
        os.kill(program.pid, signal.SIGKILL)
        program.wait(WAIT_S)
    assert agent.report().processes == ()
    agent.unprepare("c1")


def test_the_quickstart_stays_light() -> None:
    """It is on the way from a submission to a running workload."""
    loaded = "import sys, nodeagent.quickstart; print('pynvml' in sys.modules, 'solver' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert done.stdout == "False False\n"


def test_the_agent_pulls_in_nothing_heavy() -> None:
    heavy = "{'ortools', 'pydantic', 'fastapi', 'grpc', 'numpy'}"
    code = f"import sys, nodeagent.start, nodeagent.agent; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert done.stdout == "[]\n"


def test_outside_a_workload_the_table_says_so(tmp_path: Path) -> None:
    bare = {k: v for k, v in os.environ.items() if k != environment.SIMULATED}
    done = subprocess.run(
        [sys.executable, "-m", "nodeagent.simulated_nvml.smi"],
        env=bare,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 9
    assert "no simulated GPUs here" in done.stderr
