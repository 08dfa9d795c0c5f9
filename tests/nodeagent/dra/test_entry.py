"""`python -m nodeagent` where it cannot work: one line that says why and what to do, exit code 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.simulated_nvml import spec
from tests.limits import WAIT_S
from tests.nodeagent.dra.conftest import NewNode
from tests.nodeagent.dra.harness.api_server import ApiServer, until


def run(*words: str) -> tuple[int, str]:
    """Exit code and what it printed, of an agent outside of any pod."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("KUBERNETES_")}
    command = [sys.executable, "-m", "nodeagent", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WAIT_S)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "this is no pod of a cluster"),
        (["--kubeconfig=absent"], "cannot use the kubeconfig absent"),
        (["--kubeconfig={tmp}/broken"], "broken: while parsing a flow sequence in"),
        (["--simulate=z100=1"], "no GPU model is called 'z100'"),
        (["--kubelet-root={tmp}/" + "long" * 30], "too long for a Unix socket"),
        (["--cdi-dir=/proc/cdi"], "/proc/cdi"),
    ],
)
def test_what_keeps_an_agent_from_starting_is_one_line(
    words: list[str], why: str, api: ApiServer, tmp_path: Path
) -> None:
    tmp_path.joinpath("broken").write_text("clusters: [a\nusers: :\n")
    places = [f"--{name}={tmp_path / name}" for name in ("state-dir", "kubelet-root", "cdi-dir")]
    usual = ["--simulate=v100=1", "--host=127.0.0.1", "--port=0", *places]
    if words and not words[0].startswith("--kubeconfig"):
        usual.append(f"--kubeconfig={api.kubeconfig(tmp_path / 'kubeconfig', 'entry')}")
    code, said = run(*usual, *(word.format(tmp=tmp_path) for word in words))
    lines = [line for line in said.splitlines() if not line.startswith("{")]
    (error,) = lines
    assert (code, error[:7]) == (1, "error: ")
    assert why in error


def test_a_node_without_a_driver_is_named_by_where_its_root_is_mounted(api: ApiServer, tmp_path: Path) -> None:
    config = api.kubeconfig(tmp_path / "kubeconfig", "entry")
    places = [f"--{name}={tmp_path / name}" for name in ("state-dir", "kubelet-root", "cdi-dir", "host-root")]
    code, said = run(f"--kubeconfig={config}", "--host=127.0.0.1", "--port=0", *places)
    assert (code, f"no libnvidia-ml.so.1 below {tmp_path / 'host-root'}" in said) == (1, True)


def test_another_machine_is_never_simulated_over_one_that_is_there(api: ApiServer, tmp_path: Path) -> None:
    spec.create(tmp_path / "s" / "simulated.json", "v100=2")
    config = api.kubeconfig(tmp_path / "kubeconfig", "entry")
    places = [f"--state-dir={tmp_path / 's'}", f"--kubelet-root={tmp_path / 'k'}", f"--cdi-dir={tmp_path / 'c'}"]
    code, said = run(f"--kubeconfig={config}", "--simulate=v100=1", *places)
    assert (code, "simulates v100=2 already" in said) == (1, True)


def test_an_agent_whose_sockets_were_removed_ends_so_that_a_new_one_makes_them(new_node: NewNode) -> None:
    node = new_node()
    (node.folder / "k" / "plugins_registry" / "gpu.migctl.dev-reg.sock").unlink()
    until(node.ended)
    assert "error: another program removed" in node.printed()
    node.start()


def test_an_agent_whose_driver_was_upgraded_ends_so_that_a_new_one_opens_it(new_node: NewNode) -> None:
    node = new_node()
    with node.machine.change() as machine:
        machine["driver"] = "999.10"
    until(node.ended)
    assert "and is 999.10; a new start goes on with it" in node.printed()
    node.start()
