"""Fractions of one V100 (16160 MiB), team-a with a quota of one GPU: acceptance cases A1 to A12."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from migctl.objects import Phase
from solver.model.cluster import Backing
from tests.e2e.embedded import HOLD, Embedded, share


@pytest.fixture(scope="module")
def one_v100(embedded: Callable[[str], Embedded]) -> Embedded:
    started = embedded("v100=1")
    started.ok("project", "create", "team-a", "--quota", "1")
    started.ok("project", "set", "team-a")
    return started


@pytest.fixture
def v100(one_v100: Embedded) -> Iterator[Embedded]:
    yield one_v100
    one_v100.delete_all()


def test_a1_the_socket_says_who_you_are(v100: Embedded) -> None:
    assert re.search(r"User: +\S+ \(uid \d+\)", v100.ok("whoami"))


def test_a2_the_project_is_chosen_and_an_unknown_one_lists_those_there_are(v100: Embedded) -> None:
    said = v100.fails(3, "project", "set", "team-x")
    assert "team-x" in said
    assert "team-a" in said
    v100.ok("config", "project", "team-a")
    assert re.search(r"team-a +\*", v100.ok("project", "list"))


def test_a3_two_halves_run_on_one_gpu(v100: Embedded) -> None:
    for name in ("frac05", "frac05-2"):
        v100.ok("submit", name, "-i", "ubuntu", "-g", "0.5", *HOLD)
    pods = v100.running("frac05", "frac05-2")
    devices = [share(pod) for pod in pods.values()]
    assert devices[0].gpu == devices[1].gpu
    assert {(d.backing, d.portion, d.memory_mib) for d in devices} == {(Backing.SOFTWARE, 0.5, 8080)}
    assert re.search(r"\b1\.00\b", v100.ok("list", "nodes"))
    v100.until("usage is 1.0", lambda: v100.project("team-a").allocated == 1.0)


def test_a4_a_third_waits_with_a_reason_and_starts_when_one_is_deleted(v100: Embedded) -> None:
    for name in ("first", "second", "third"):
        v100.ok("submit", name, "-g", "0.5", *HOLD)
        if name != "third":
            v100.running(name)
    v100.until("a reason", lambda: v100.workload("third").status.message)
    assert v100.status("third") is Phase.PENDING
    assert "V100" in v100.ok("why", "third") or "vm" in v100.ok("why", "third")
    v100.ok("delete", "first")
    v100.running("third")


def test_a5_and_a6_both_listings_show_it(v100: Embedded) -> None:
    v100.ok("submit", "frac05", "-i", "ubuntu", "-g", "0.5", *HOLD)
    v100.running("frac05")
    jobs = v100.ok("list", "jobs").splitlines()
    assert jobs[0] == "Showing jobs for project team-a"
    assert jobs[1].split("  ")[0] == "NAME"
    assert "GPUs Allocated (Requested)" in jobs[1]
    assert re.search(r"frac05 +Running .*ubuntu +Train +team-a .*0\.50 \(0\.50\) +1 \(0\)", jobs[2])
    workloads = v100.ok("workload", "list", "-A")
    assert "Showing" not in workloads
    assert re.search(r"frac05 +Training +Running +team-a +1/1 +0\.50", workloads)


def test_a7_nvidia_smi_inside_shows_one_gpu_with_its_share(v100: Embedded) -> None:
    v100.ok("submit", "frac05", "-g", "0.5", *HOLD)
    v100.running("frac05")
    table = v100.ok("exec", "frac05", "nvidia-smi")
    assert "8080MiB" in table
    assert v100.ok("exec", "frac05", "--", "nvidia-smi", "-L").count("GPU ") == 1


def test_a7_the_quickstart_holds_its_share_until_it_is_deleted(v100: Embedded) -> None:
    v100.ok("submit", "quick", "-g", "0.5")
    v100.running("quick")
    v100.until("the quickstart says what it holds", lambda: "8080 MiB" in v100.ok("logs", "quick"))
    assert re.search(r"8080MiB / +8080MiB", v100.ok("exec", "quick", "nvidia-smi"))


def test_a10_what_cannot_be_is_refused_and_nothing_is_created(v100: Embedded) -> None:
    v100.ok("submit", "taken", "-g", "0.5", *HOLD)
    for code, words in (
        (2, ("submit", "x", "-g", "0")),
        (2, ("submit", "x", "-g", "1.5")),
        (2, ("submit", "x", "-g", "-1")),
        (2, ("submit", "x", "--gpu-memory", "5X")),
        (2, ("submit", "x", "--gpu-memory", "50MB")),
        (2, ("submit", "Bad_Name", "-g", "0.5")),
        (3, ("submit", "x", "-g", "0.5", "-p", "nowhere")),
        (4, ("submit", "taken", "-g", "0.5")),
    ):
        said = v100.fails(code, *words).strip().splitlines()
        assert said[0].startswith("error: ")
        assert any(line.startswith("hint: ") for line in said[1:])
    assert v100.names() == ["taken"]


def test_a11_memory_without_a_name_gets_a_name_and_its_mib(v100: Embedded) -> None:
    v100.ok("submit", "--gpu-memory", "5G", *HOLD)
    (name,) = v100.names()
    assert share(v100.running(name)[name]).memory_mib == 4769
    assert "4769MiB" in v100.ok("exec", name, "nvidia-smi")


def test_a12_two_kinds_of_request_are_refused(v100: Embedded) -> None:
    said = v100.fails(2, "submit", "both", "-g", "0.5", "--gpu-memory", "5G")
    assert "one of" in said or "either" in said or "together" in said
    assert v100.names() == []
