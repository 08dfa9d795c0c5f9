"""Which control plane a command is about."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from migctl.cli import system
from migctl.cli.contexts import kubeconfig
from migctl.cli.contexts.context import LOCAL, locate
from migctl.cli.failures import Failure
from migctl.cli.grammar.lazy_groups import WHERE
from migctl.cli.main import run
from tests.migctl.cli.conftest import Cli


def config(path: Path, *names: str, current: str = "", namespace: str = "") -> Path:
    contexts = [{"name": name, "context": {"cluster": f"{name}-c", "namespace": namespace}} for name in names]
    path.write_text(json.dumps({"contexts": contexts, **({"current-context": current} if current else {})}))
    return path


@contextmanager
def serving(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "KUBECONFIG": str(config(tmp_path / "k", "prod", "test", current="prod"))}


def test_this_machine_comes_first_while_it_runs(environ: Mapping[str, str], tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving(path):
        assert (locate(environ, path, None).name, locate(environ, path, None).chosen) == (LOCAL, False)
        assert locate(environ, path, "test").name == "test"
        assert locate(environ, path, None, clusters_only=True).name == "prod"
    assert path.exists()
    assert (locate(environ, path, None).name, locate(environ, path, None).chosen) == ("prod", False)
    assert locate(environ, path, LOCAL).name == LOCAL


def test_without_any_control_plane_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Failure) as nowhere:
        locate({"HOME": str(tmp_path)}, tmp_path / "s", None)
    assert (nowhere.value.code, "migctl up --detach" in nowhere.value.hint) == (1, True)
    several = {"KUBECONFIG": str(config(tmp_path / "k", "a", "b"))}
    with pytest.raises(Failure) as unchosen:
        locate(several, tmp_path / "s", None)
    assert (unchosen.value.code, "contexts: a, b" in unchosen.value.hint) == (2, True)
    with pytest.raises(Failure) as unknown:
        locate(several, tmp_path / "s", "c")
    assert (unknown.value.code, "contexts: local, a, b" in unknown.value.hint) == (3, True)


def test_several_kubeconfigs_are_one_and_the_first_counts(tmp_path: Path) -> None:
    first = config(tmp_path / "1", "a", namespace="team-a")
    second = config(tmp_path / "2", "a", "b", current="b", namespace="team-b")
    read = kubeconfig.read({"KUBECONFIG": f"{first}:{tmp_path / 'absent'}:{second}"})
    assert (read.current, read.paths) == ("b", f"{first}:{second}")
    assert {name: found.namespace for name, found in read.contexts.items()} == {"a": "team-a", "b": "team-b"}


def test_a_context_that_has_our_own_name(tmp_path: Path) -> None:
    environ = {"KUBECONFIG": str(config(tmp_path / "k", "local", current="local"))}
    for chosen in (None, "kube/local"):
        found = locate(environ, tmp_path / "s", chosen)
        assert (found.name, found.context, found.cluster) == ("kube/local", "local", True)
    assert not locate(environ, tmp_path / "s", "local").cluster
    assert locate(environ, tmp_path / "s", "local", clusters_only=True).context == "local"


def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text("contexts: 5\n")
    with pytest.raises(Failure, match=str(path)):
        kubeconfig.read({"KUBECONFIG": str(path)})


def test_list_use_show(cli: Cli, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGCTL_HOME", str(tmp_path / "home"))

    def ran(*words: str) -> tuple[int, str]:
        code = run(words, replace(system.real(), environ=environ))
        return code, cli.capture.readouterr().out

    assert [line.split() for line in ran("context", "list")[1].splitlines()] == [
        ["CURRENT", "NAME", "CLUSTER", "USER", "NAMESPACE"],
        ["local", "this", "machine,", "by", "migctl", "up"],
        ["*", "prod", "prod-c"],
        ["test", "test-c"],
    ]
    assert ran("context", "show") == (0, "prod (by default)\n")
    assert ran("context", "use", "test")[0] == 0
    assert ran("context", "show") == (0, "test (as chosen)\n")
    assert ran("--context", "prod", "context", "show") == (0, "prod (as chosen)\n")
    assert ran("context", "show", "--context", "local") == (0, "local (as chosen)\n")
    assert ran("context", "show", "--kubeconfig", "/nowhere")[0] == 3
    assert ran("context", "use", "nobody")[0] == 3
    assert ran("context", "list", "-o", "name")[1].split() == ["local", "prod", "test"]


@pytest.mark.parametrize("words", [["list"], ["project", "list"], ["training", "submit"], ["exec"], ["plan", "show"]])
def test_every_command_about_a_control_plane_can_be_told_which(cli: Cli, words: list[str]) -> None:
    text = cli.ok(*words, "--help").out
    assert all(f"--{name}" in text for name in WHERE)


@pytest.mark.parametrize("name", ["up", "down", "run", "doctor", "simulate"])
def test_commands_about_this_machine_cannot(cli: Cli, name: str) -> None:
    assert "--context" not in cli.ok(name, "--help").out
    assert cli(name, "--context", "prod").code == 2
