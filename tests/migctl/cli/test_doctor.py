"""`migctl doctor` over simulated GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from migctl.backends.protocol import Unavailable
from nodeagent.simulated_nvml import hardware, spec
from nodeagent.simulated_nvml.state import StateFile
from tests.limits import WAIT_S
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli


def doctor(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migctl", "doctor", *words],
        env={**os.environ, "MIGCTL_HOME": str(home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def test_findings_for_people_and_for_programs(tmp_path: Path) -> None:
    spec.create(tmp_path / "simulated.json", "a100-40gb=1,h100:nomig=1")
    done = doctor(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "NOTE     gpu 1    NVIDIA H100 80GB HBM3, MIG mode is off" in done.stdout
    assert "-> migctl node set --dynamic-mig on" in done.stdout
    found = json.loads(doctor(tmp_path, "-o", "json").stdout)
    assert yaml.safe_load(doctor(tmp_path, "-o", "yaml").stdout) == found
    assert found[0] == {"check": "driver", "level": "ok", "text": "driver 580.159.04 (simulated), 2 GPUs", "fix": ""}


def test_gpus_of_several_simulated_nodes_have_their_own_names_and_hints_that_can_be_typed(tmp_path: Path) -> None:
    spec.create(tmp_path / "simulated.json", "node-a:v100=1,node-b:v100=1,h100:nomig=1,a100-40gb=1")
    state = StateFile(tmp_path / "simulated.json")
    with state.change() as machine:
        machine["gpus"][3]["mig_pending"] = False
    found = {one["check"]: one for one in json.loads(doctor(tmp_path, "-o", "json").stdout)}
    assert found["node-b/1"]["fix"] == "migctl node set node-b --dynamic-mig on, when nobody uses it"
    assert found["node-b/2"]["fix"] == f"{tmp_path}/agent/bin/nvidia-smi --gpu-reset -i 3"
    assert "no MIG" in found["node-b/0"]["text"]


def test_what_the_nodes_of_a_running_control_plane_remark_is_found_too(
    team: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGCTL_HOME", str(team.home))
    spec.create(team.home / "simulated.json", "v100=1")
    gpu = scenes.gpu("node-a", 0, scenes.V100, fenced="XID 79: it has fallen off the bus")
    notes = {gpu.uuid: "process 7 belongs to no claim"}
    team.do(lambda cluster: cluster.create(scenes.node("node-a", gpu, notes=notes)))

    def remarked() -> list[tuple[str, str]]:
        found = json.loads(team.ok("doctor", "-o", "json").out)
        return [(one["level"], one["text"]) for one in found if one["check"] == "node node-a"]

    assert remarked() == [
        ("warning", "node-a/0: XID 79: it has fallen off the bus"),
        ("warning", "node-a/0: process 7 belongs to no claim"),
    ]
    team.failing = Unavailable("migctl up does not run")
    assert remarked() == []


def test_what_keeps_gpus_from_being_shared_is_exit_code_1(tmp_path: Path) -> None:
    spec.create(tmp_path / "simulated.json", "v100=1")
    state = StateFile(tmp_path / "simulated.json")
    hardware.fail(state, state.read()["gpus"][0]["uuid"], remap_failed=True)
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert "ERROR    gpu 0" in done.stdout
