"""A container attacks its accounts: the agent's checks go on, others' claims too, and the disk gets its space back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.agent import Agent
from nodeagent.shim import placing, region
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit
from nodeagent.upkeep.upkeep import Upkeep
from tests.nodeagent.hostile_files import ATTACKS, replace
from tests.nodeagent.machines import Machine, allocation, part

MIB = 1 << 20


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """With the claims "bad" and "good", which containers run for."""
    machine = Machine(tmp_path / "machine", "v100=1")
    agent = machine.agent()
    for claim in ("bad", "good"):
        agent.prepare(allocation(claim, part(machine.gpu(), 8080)))
        place(agent, claim, tmp_path)
    machine.occupy(machine.gpu(), 100, os.getpid(), "bad")
    yield agent
    agent.close()


def place(agent: Agent, claim: str, tmp_path: Path) -> Path:
    library = tmp_path / "library"
    library.write_bytes(b"library")
    folder = agent.accounts.directory / claim
    folder.mkdir(parents=True, exist_ok=True)
    gpu = GpuLimit(agent.gpus.uuids()[0], 8080 * MIB, 0)
    placing.place(folder, [gpu], Libraries(library, library), Libraries(library, library), container=True)
    return placing.accounts(folder)


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {"sparse"}))
def test_what_stands_in_the_accounts_place_is_told_and_harms_nobody(agent: Agent, attack: str) -> None:
    replace(placing.accounts(agent.accounts.directory / "bad"), attack)
    Upkeep(agent).step()
    notes = agent.report().notes
    assert "its accounts cannot be read" in notes["bad"]
    assert "cannot be read" not in notes.get("good", "")


def test_a_region_that_grew_and_files_beside_it_are_given_back(agent: Agent) -> None:
    path = placing.accounts(agent.accounts.directory / "bad")
    with path.open("r+b") as file:
        file.truncate(40 << 30)
    (path.parent / "more").write_bytes(bytes(4 * MIB))
    (path.parent / "folder" / "inner").mkdir(parents=True)
    (path.parent / "link").symlink_to("/etc/passwd")
    Upkeep(agent).step()
    assert path.stat().st_size == region.SIZE
    assert [entry.name for entry in path.parent.iterdir()] == ["region"]
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {"folder"}))
def test_a_prepare_after_a_restart_goes_through_no_link(agent: Agent, attack: str, tmp_path: Path) -> None:
    """Also where the draft's name was foreseen."""
    path = placing.accounts(agent.accounts.directory / "bad")
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    path.with_name(f".region.{os.getpid()}").symlink_to(victim)
    replace(path, attack)
    place(agent, "bad", tmp_path)
    assert region.holders(path) == ()
    assert victim.read_bytes() == b"untouched"


def test_a_container_is_given_its_region_alone_and_can_put_nothing_beside_it(agent: Agent) -> None:
    folder = agent.accounts.directory / "bad"
    driver = [
        placing.BindMount(hostPath=f"/drv/{name}.580.1", containerPath=f"/lib/{name}.580.1", options=["ro", "bind"])
        for name in ("libcuda.so", "libnvidia-ml.so")
    ]
    writable = [m["hostPath"] for m in placing.container_mounts(folder, driver) if "rw" in m["options"]]
    assert writable == [str(placing.accounts(folder))]
