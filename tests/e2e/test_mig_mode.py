"""Switching a node's dynamic MIG on: acceptance case F1."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from tests.e2e.embedded import HOLD, Embedded


def modes(one: Embedded) -> list[bool]:
    return [gpu.mig for gpu in one.report().gpus]


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
    subprocess.run([a100.home / "agent" / "bin" / "nvidia-smi", "--gpu-reset", "-i", "0"], check=True)
    a100.running("slice")
    assert modes(a100) == [True]


def test_f1_words_that_cannot_be_meant(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    assert "on, or off" in v100.fails(2, "node", "set", "--dynamic-mig", "maybe")
    assert "no node is called 'nowhere'" in v100.fails(3, "node", "set", "nowhere", "--dynamic-mig", "on")
    assert "has MIG" in v100.fails(4, "node", "set", "--dynamic-mig", "on")
