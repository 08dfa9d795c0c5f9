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


def used_gpus(one: Embedded, name: str) -> list[int]:
    """The indices of a node's GPUs that are shared, as its agent reported last: that follows the phase Running."""
    reports = {node.meta.name: node.status.report for node in one.look(GpuNode)}
    report = reports[name]
    return [gpu.index for gpu in report.gpus if gpu.parts] if report is not None else []


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


def test_j12_one_of_two_gpus_is_switched_and_the_other_is_not(embedded: Callable[[str], Embedded]) -> None:
    two = embedded("h100:nomig=2")
    (node,) = two.look(GpuNode)
    first, second = (f"{node.meta.name}/{index}" for index in range(2))
    on = ("--dynamic-mig", "on")
    assert two.ok("node", "set", "--gpu", "0", *on) == f"Dynamic MIG of GPU {first} is on\n"
    assert modes(two) == [True, False]
    assert two.ok("node", "set", "--dynamic-mig", "off").startswith(f"Dynamic MIG of node {node.meta.name} is off")
    assert modes(two) == [True, False]
    (listed,) = two.json("node", "list")["items"]
    assert (list(listed["spec"]["gpuDynamicMig"].values()), listed["spec"]["dynamicMig"]) == ([True], False)
    assert [answer["outcome"] for answer in listed["status"]["gpuDynamicMig"].values()] == ["done"]
    assert f"Dynamic MIG of {first}:" in two.ok("node", "describe", node.meta.name)
    assert f"not of GPU {first}" in two.run("node", "set", "--dynamic-mig", "off").stderr
    follows = two.ok("node", "set", "--gpu", "0", "--gpu", first, "--dynamic-mig", "inherit")
    assert follows == f"GPU {first} follows node {node.meta.name}: dynamic MIG off\n"
    assert modes(two) == [False, False]
    (now,) = two.look(GpuNode)
    assert (now.spec.gpu_dynamic_mig, now.status.gpu_dynamic_mig) == ({}, {})
    assert f"GPU {second} follows" in two.ok("node", "set", "--gpu", "1", "--dynamic-mig", "inherit")


def test_j12_of_two_gpus_only_the_busy_one_is_refused(embedded: Callable[[str], Embedded]) -> None:
    two = embedded("node-a:h100:nomig=2,node-b:v100=1")
    two.ok("project", "create", "team-a", "--quota", "2")
    two.ok("project", "set", "team-a")
    two.ok("submit", "half", "-g", "0.5", "--gpu-model", "H100-80GB-HBM3", *HOLD)
    two.running("half")
    (used,) = two.until("a report names what is used", lambda: used_gpus(two, "node-a"))
    both = ("--gpu", "0", "--gpu", "1", "--dynamic-mig", "on")
    done = two.run("node", "set", "node-a", *both)
    assert (done.returncode, done.stdout) == (4, f"Dynamic MIG of GPU node-a/{1 - used} is on\n")
    assert f"error: dynamic MIG of GPU node-a/{used} was not switched on\n" in done.stderr
    assert f"GPU {used}: it is used by" in done.stderr
    (node,) = [node for node in two.look(GpuNode) if node.meta.name == "node-a"]
    assert list(node.spec.gpu_dynamic_mig.values()) == [True], "what was refused is no wish"
    assert modes_of_nodes(two)["node-a"][used] is False
    assert "has no MIG" in two.fails(4, "node", "set", "node-b", "--gpu", "node-b/0", "--dynamic-mig", "on")


def test_j12_a_busy_gpu_keeps_its_own_mode(embedded: Callable[[str], Embedded]) -> None:
    one = embedded("h100:nomig=1")
    one.ok("node", "set", "--dynamic-mig", "off")
    one.ok("node", "set", "--gpu", "0", "--dynamic-mig", "on")
    one.ok("submit", "slice", "-p", "default", "--mig-profile", "1g.10gb", *HOLD)
    one.running("slice")
    said = one.fails(4, "node", "set", "--gpu", "0", "--dynamic-mig", "inherit")
    assert "was not given back to its node" in said
    assert "GPU 0: it is used by" in said

    def settled() -> bool:
        (node,) = one.look(GpuNode)
        answers = [*node.status.gpu_dynamic_mig.values(), node.status.dynamic_mig]
        return [answer and (answer.wanted, answer.outcome) for answer in answers] == [(True, "done"), (False, "done")]

    one.until("its own mode stands", settled)
    assert modes(one) == [True]


def test_f1_words_that_cannot_be_meant(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    assert "on, or off" in v100.fails(2, "node", "set", "--dynamic-mig", "maybe")
    assert "no node is called 'nowhere'" in v100.fails(3, "node", "set", "nowhere", "--dynamic-mig", "on")
    assert "has MIG" in v100.fails(4, "node", "set", "--dynamic-mig", "on")
