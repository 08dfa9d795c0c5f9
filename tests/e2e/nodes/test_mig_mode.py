"""Switching a node's dynamic MIG on: acceptance case F1."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable

from migctl.objects import GpuNode
from tests.e2e.embedded import HOLD, Embedded


def modes(one: Embedded) -> list[bool]:
    return [gpu.mig for gpu in one.report().gpus]


def modes_of_nodes(one: Embedded) -> dict[str, list[bool]]:
    reports = {node.meta.name: node.status.report for node in one.look(GpuNode)}
    return {name: [gpu.mig for gpu in report.gpus] for name, report in reports.items() if report is not None}


def reset_told_in(text: str) -> list[str]:
    """The command that a person is told to type, as the shell reads it."""
    (command,) = re.findall(r"waits for a GPU reset: (.*)", text)
    return shlex.split(command)


def test_f1_a_busy_gpu_is_refused_with_the_reason_and_an_idle_one_is_switched(
    embedded: Callable[[str], Embedded],
) -> None:
    h100 = embedded("h100:nomig=1")
    h100.ok("project", "create", "team-a", "--quota", "2")
    h100.ok("project", "set", "team-a")
    h100.ok("submit", "half", "-g", "0.5", *HOLD)
    h100.running("half")
    said = h100.fails(4, "node", "set", "--dynamic-mig", "on")
    assert "half" in said
    assert "delete or suspend" in said
    assert modes(h100) == [False]
    h100.ok("delete", "half")
    h100.until("nothing is held", lambda: not h100.report().held)
    assert modes(h100) == [False]
    assert "is on" in h100.ok("node", "set", "--dynamic-mig", "on")
    assert modes(h100) == [True]
    h100.ok("submit", "slice", "--mig-profile", "1g.10gb", *HOLD)
    h100.running("slice")


def test_f1_ampere_waits_for_the_reset_and_then_serves(embedded: Callable[[str], Embedded]) -> None:
    a100 = embedded("a100-40gb:nomig=1")
    a100.ok("project", "create", "team-a", "--quota", "2")
    a100.ok("project", "set", "team-a")
    done = a100.run("node", "set", "--dynamic-mig", "on")
    assert done.returncode == 0
    assert "nvidia-smi --gpu-reset -i 0" in done.stderr
    a100.ok("submit", "slice", "--mig-profile", "1g.5gb", *HOLD)
    subprocess.run(reset_told_in(done.stderr), check=True)
    a100.running("slice")
    assert modes(a100) == [True]


def test_a5_each_of_several_simulated_nodes_has_its_own_mig_mode(embedded: Callable[[str], Embedded]) -> None:
    several = embedded("node-a:h100:nomig=1,node-b:v100=1,h100:nomig=2,node-c:v100=1")
    assert "node node-b is on" in several.ok("node", "set", "node-b", "--dynamic-mig", "on")
    assert modes_of_nodes(several) == {"node-a": [False], "node-b": [False, True, True], "node-c": [False]}
    assert "no GPU of node node-c has MIG" in several.fails(4, "node", "set", "node-c", "--dynamic-mig", "on")
    several.ok("node", "set", "node-b", "--dynamic-mig", "off")
    assert modes_of_nodes(several) == {"node-a": [False], "node-b": [False] * 3, "node-c": [False]}


def test_a5_a_pending_switch_that_is_taken_back_leaves_no_old_answer(embedded: Callable[[str], Embedded]) -> None:
    several = embedded("node-a:a100-40gb=1,node-b:v100=1,a100-40gb=1")
    waits = several.run("node", "set", "node-b", "--dynamic-mig", "off")
    assert (waits.returncode, waits.stdout) == (0, "Dynamic MIG of node node-b is off: not yet\n")
    assert waits.stderr.startswith("GPU 1: MIG mode off waits for a GPU reset: ")
    back = several.run("node", "set", "node-b", "--dynamic-mig", "on")
    assert (back.returncode, back.stdout, back.stderr) == (0, "Dynamic MIG of node node-b is on\n", "")
    waits = several.run("node", "set", "node-b", "--dynamic-mig", "off")
    subprocess.run(reset_told_in(waits.stderr), check=True)
    several.until("the mode is off", lambda: modes_of_nodes(several) == {"node-a": [True], "node-b": [False, False]})


def test_f1_words_that_cannot_be_meant(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    assert "on, or off" in v100.fails(2, "node", "set", "--dynamic-mig", "maybe")
    assert "no node is called 'nowhere'" in v100.fails(3, "node", "set", "nowhere", "--dynamic-mig", "on")
    assert "has MIG" in v100.fails(4, "node", "set", "--dynamic-mig", "on")
