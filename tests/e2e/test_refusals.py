"""Starting and stopping: what cannot be is said in one line with a hint, and nothing is lost."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture
def home() -> Iterator[Embedded]:
    one = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    yield one
    one.end()


def said(one: Embedded, code: int, *words: str) -> str:
    text = one.fails(code, *words)
    lines = text.strip().splitlines()
    assert lines[0].startswith("error: "), text
    assert any(line.startswith("hint: ") for line in lines), text
    return text


def test_a_machine_without_gpus_is_told_to_simulate(home: Embedded) -> None:
    assert "--simulate a100-40gb=2,v100=1, or on nodes: node-a:v100=2,node-b" in said(home, 1, "up", "--detach")


def test_an_unknown_model_lists_the_known_ones(home: Embedded) -> None:
    assert "a100-40gb" in said(home, 2, "up", "--simulate", "rtx-9999=1", "--detach").lower()


def test_a_second_up_is_refused_and_the_first_goes_on(home: Embedded) -> None:
    home.up("v100=1")
    assert "already" in said(home, 4, "up", "--detach")
    home.ok("list")


def test_another_simulation_in_the_same_home_is_refused(home: Embedded) -> None:
    home.up("v100=1")
    home.ok("down")
    assert "v100=1" in said(home, 4, "up", "--simulate", "a100-40gb=1", "--detach")


def test_a_socket_in_use_by_somebody_else_is_named(home: Embedded) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home.home / "migctl.sock"))
        other.listen()
        assert "migctl.sock" in said(home, 4, "up", "--simulate", "v100=1", "--detach")


def test_a_damaged_store_is_reported_and_kept(home: Embedded) -> None:
    home.up("v100=1")
    home.ok("submit", "kept", "-g", "0.5", *HOLD)
    home.running("kept")
    home.ok("delete", "kept")
    home.ok("down")
    store = home.home / "store.db"
    damaged = b"not a database" + store.read_bytes()[14:]
    store.write_bytes(damaged)
    assert "store.db" in said(home, 1, "up", "--detach")
    assert store.read_bytes() == damaged


def test_a_damaged_simulated_machine_is_reported_and_kept(home: Embedded) -> None:
    home.up("v100=1")
    home.ok("down")
    state = home.home / "simulated.json"
    state.write_text(state.read_text()[:100])
    assert "simulated.json" in said(home, 1, "up", "--detach")
    assert len(state.read_text()) == 100


def test_down_leaves_workloads_running_unless_told(embedded: Callable[[str], Embedded]) -> None:
    one = embedded("v100=1")
    one.ok("submit", "stays", "-g", "0.5", *HOLD)
    pid = one.running("stays")["stays"].status.pid
    assert "1 workload" in one.ok("down") + one.run("down").stdout
    assert Path(f"/proc/{pid}").exists()
    one.ok("up", "--detach")
    assert one.running("stays")["stays"].status.pid == pid
    one.ok("down", "--workloads")
    one.until("it has ended", lambda: not Path(f"/proc/{pid}").exists())


def test_down_without_up_says_so(home: Embedded) -> None:
    said(home, 1, "down")


def test_an_unknown_profile_names_the_valid_ones(embedded: Callable[[str], Embedded]) -> None:
    one = embedded("a100-40gb=1")
    assert "3g.20gb" in said(one, 2, "submit", "x", "--mig-profile", "9g.99gb")
    assert one.names() == []
