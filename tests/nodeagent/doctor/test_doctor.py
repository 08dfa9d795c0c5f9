"""What the doctor finds, on machines made of files and simulated GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.doctor.doctor import examine
from nodeagent.doctor.findings import DoctorFinding, ExaminedMachine, Level
from nodeagent.nvml import LibraryMissing, Nvml
from nodeagent.simulated_nvml import hardware
from tests.nodeagent import machines

FULL, NONE = "000001ffffffffff", "0000000000000000"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system with a driver's device nodes, seen by root."""
    made = tmp_path / "root"
    (made / "dev").mkdir(parents=True)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (made / "dev" / name).touch()
    (made / "proc/self").mkdir(parents=True)
    (made / "proc/self/status").write_text(f"Name:\tmigctl\nCapEff:\t{FULL}\n")
    return made


def look(machine: machines.Machine, root: Path, simulated: bool = False) -> tuple[DoctorFinding, ...]:
    where = ExaminedMachine(lambda: Nvml(machine.library()), machine.agent_dir, simulated=simulated, root=root)
    return examine(where)


def bad(found: tuple[DoctorFinding, ...]) -> list[DoctorFinding]:
    return [f for f in found if f.level in (Level.WARNING, Level.ERROR)]


def test_a_fit_machine_has_nothing_to_fix(machine: machines.Machine, root: Path) -> None:
    machine.agent().close()
    found = look(machine, root)
    assert bad(found) == []
    assert [f.text for f in found if f.check.startswith("gpu")] == [
        "NVIDIA A100-SXM4-40GB, MIG mode is on",
        "Tesla V100-SXM2-16GB, no MIG: fractions are software shares",
    ]


def test_without_a_driver_it_says_how_to_try(tmp_path: Path, root: Path) -> None:
    def missing() -> Nvml:
        raise LibraryMissing("NVML Shared Library Not Found")

    (found,) = bad(examine(ExaminedMachine(missing, tmp_path / "agent", root=root)))
    assert (found.check, found.level) == ("driver", Level.ERROR)
    assert "--simulate" in found.fix


def test_missing_rights_nodes_and_a_pending_mode(tmp_path: Path, root: Path) -> None:
    machine = machines.Machine(tmp_path / "m", "a100-40gb:nomig")
    machine.agent().gpus.set_dynamic_mig(True)
    (root / "dev/nvidia0").unlink()
    (root / "proc/self/status").write_text(f"CapEff:\t{NONE}\n")
    assert {(f.check, f.text.split(" (")[0]) for f in bad(look(machine, root))} == {
        ("gpu 0", "NVIDIA A100-SXM4-40GB, MIG mode on is pending"),
        ("gpu 0", f"{root / 'dev/nvidia0'} is missing"),
        ("permissions", "this user cannot make MIG instances"),
    }


def test_a_sick_gpu_and_an_open_state_directory(machine: machines.Machine, root: Path) -> None:
    hardware.fail(machine.state, machine.gpu(0), ecc_uncorrected=2)
    machine.agent_dir.mkdir(mode=0o755)
    machine.agent_dir.chmod(0o755)
    found = {f.check: f for f in bad(look(machine, root))}
    assert "2 uncorrected memory errors" in found["gpu 0"].text
    assert found["state"].fix == f"chmod 700 {machine.agent_dir}"


def test_programs_that_block_a_switch_are_named(machine: machines.Machine, root: Path) -> None:
    monitor = root / "proc/4711"
    (monitor / "fd").mkdir(parents=True)
    (monitor / "comm").write_text("nv-hostengine\n")
    (monitor / "fd/3").symlink_to("/dev/nvidia0")
    (note,) = [f for f in look(machine, root) if f.check == "clients"]
    assert "nv-hostengine (process 4711)" in note.text
    assert "nvidia-dcgm" in note.fix


def test_simulated_gpus_need_no_device_nodes(machine: machines.Machine, tmp_path: Path) -> None:
    assert bad(look(machine, tmp_path / "empty", simulated=True)) == []
