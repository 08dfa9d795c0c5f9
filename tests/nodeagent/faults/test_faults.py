import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.nvml import InsufficientResources, Nvml, NvmlError, TimedOut
from nodeagent.simulated_nvml.faults import VARIABLE, BadFault, Fault, Faults, from_environment, parse
from nodeagent.simulated_nvml.hardware import NvmlReturn
from tests.limits import WAIT_S
from tests.nodeagent.machines import Machine


def test_faults_are_written_as_call_count_and_action(tmp_path: Path) -> None:
    text = "nvmlGpuInstanceDestroy#2=IN_USE; nvml*=kill;nvmlInit?=hang;nvmlDeviceGetName=after-999"
    assert parse(text) == (
        Fault("nvmlGpuInstanceDestroy", 2, NvmlReturn.IN_USE),
        Fault("nvml*"),
        Fault("nvmlInit?", hang=True),
        Fault("nvmlDeviceGetName", 1, 999, after=True),
    )
    (tmp_path / "faults").write_text("nvmlShutdown=UNKNOWN")
    assert from_environment({VARIABLE: f"@{tmp_path / 'faults'}"}) == (Fault("nvmlShutdown", 1, NvmlReturn.UNKNOWN),)
    assert from_environment({}) == ()


@pytest.mark.parametrize("text", ["nvmlInit", "nvmlInit=NO_SUCH_ERROR", "=kill", "nvmlInit#x=kill"])
def test_bad_faults_are_refused(text: str) -> None:
    with pytest.raises(BadFault, match=r"no fault|unknown error"):
        parse(text)


def test_the_nth_call_fails_and_the_next_goes_on(machine: Machine) -> None:
    nvml = Nvml(machine.library(Faults(parse("nvmlDeviceGetMigMode#2=TIMEOUT"))))
    gpu = machine.gpu()
    assert nvml.mig_mode(gpu)
    with pytest.raises(TimedOut):
        nvml.mig_mode(gpu)
    assert nvml.mig_mode(gpu)


def test_an_error_after_the_deed_leaves_it_done(machine: Machine) -> None:
    nvml = Nvml(machine.library(Faults(parse("nvmlDeviceCreateGpuInstanceWithPlacement=after-UNKNOWN"))))
    gpu_info = nvml.gpus()[0]
    profile = nvml.model(gpu_info).profiles[0]
    with pytest.raises(NvmlError):
        nvml.create_gpu_instance(gpu_info, profile, 0)
    with pytest.raises(InsufficientResources):
        nvml.create_gpu_instance(gpu_info, profile, 0)


def test_a_child_process_is_killed_at_the_call(machine: Machine) -> None:
    code = (
        "from pathlib import Path; from nodeagent.nvml import Nvml; "
        "from nodeagent.simulated_nvml.library import SimulatedNvml; "
        f"Nvml(SimulatedNvml(Path({str(machine.state_path)!r}))).gpus(); print('survived')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={VARIABLE: "nvmlDeviceGetName#2=kill"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-9, "")
