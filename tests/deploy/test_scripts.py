"""deploy.sh, undeploy.sh and kind-up.sh against a kubectl that answers as told and writes down what it was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "deploy" / "scripts"
TOOLS = ("awk", "bash", "cat", "dirname", "grep", "id", "printf", "sed")

KUBECTL = """#!/bin/bash
echo "$*" >> "{log}"
case "$*" in
{answers}
esac
"""
SERVED = {
    "get --raw /readyz": "echo ok",
    "get --raw /apis/resource.k8s.io/v1": """echo '{"name":"resourceclaims"}'""",
    "get --raw /apis/admissionregistration.k8s.io/v1": """echo '{"name":"mutatingadmissionpolicies"}'""",
    "config current-context": "echo here",
}


class Desk:
    """A PATH of its own: the usual tools, and those that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bin"
        self.log = folder / "asked"
        self.path.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.path / tool).symlink_to(found)

    def kubectl(self, answers: dict[str, str]) -> None:
        cases = "\n".join(f'"{words}"*) {command} ;;' for words, command in answers.items())
        script = self.path / "kubectl"
        script.write_text(KUBECTL.format(log=self.log, answers=cases))
        script.chmod(0o755)

    def run(self, script: str, **variables: str) -> tuple[int, str, str]:
        environ = {"PATH": str(self.path), "HOME": str(self.path), **variables}
        done = subprocess.run([SCRIPTS / script], env=environ, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("script", "tool"), [("kind-up.sh", "docker"), ("kind-down.sh", "kind"), ("deploy.sh", "kubectl")]
)
def test_a_missing_tool_is_named_with_where_to_get_it(desk: Desk, script: str, tool: str) -> None:
    code, _, error = desk.run(script)
    assert (code, error.startswith(f"error: {tool} is missing: https://")) == (1, True)


@pytest.mark.parametrize("script", ["deploy.sh", "undeploy.sh"])
def test_a_cluster_that_does_not_answer_is_named(desk: Desk, script: str) -> None:
    desk.kubectl({"--context far get --raw /readyz": "exit 1"})
    code, _, error = desk.run(script, CONTEXT="far")
    assert (code, "the cluster of context far does not answer" in error) == (1, True)


@pytest.mark.parametrize(
    ("lacking", "what"),
    [
        ("resource.k8s.io/v1", "no dynamic resource allocation"),
        ("admissionregistration.k8s.io/v1", "no mutating admission policies"),
    ],
)
def test_a_cluster_that_is_too_old_gets_nothing_and_hears_why(desk: Desk, lacking: str, what: str) -> None:
    desk.kubectl({**SERVED, f"get --raw /apis/{lacking}": "echo '{}'"})
    code, _, error = desk.run("deploy.sh")
    assert (code, what in error, "Kubernetes 1.36" in error) == (1, True, True)
    assert not any("apply" in words for words in desk.asked)


def test_the_image_is_the_one_asked_for(desk: Desk, tmp_path: Path) -> None:
    image = "kustomize deploy/overlays/simulated"
    applied = f"cat > {tmp_path}/applied"
    desk.kubectl({**SERVED, image: "echo '        image: migctl:0.1.0'", "apply --server-side": applied})
    code, out, _ = desk.run("deploy.sh", OVERLAY="simulated", IMAGE="registry.example/migctl:2")
    assert (tmp_path / "applied").read_text().strip() == "image: registry.example/migctl:2"
    assert (code, "migctl works" in out) == (0, True)


def test_an_unknown_overlay_names_those_there_are(desk: Desk) -> None:
    desk.kubectl(SERVED)
    code, _, error = desk.run("deploy.sh", OVERLAY="amd")
    assert (code, "no kustomization in deploy/overlays/amd; overlays are: nvidia simulated" in error) == (1, True)


def test_nothing_is_removed_while_pods_hold_gpus(desk: Desk) -> None:
    desk.kubectl({**SERVED, "get resourceclaims": "echo team-a/train-gpu"})
    code, _, error = desk.run("undeploy.sh")
    assert (code, "team-a/train-gpu" in error) == (1, True)
    assert not any("delete" in words for words in desk.asked)


def test_projects_are_let_go_of_before_the_agents_are_removed(desk: Desk) -> None:
    rest = "printf 'apiVersion: v1\\nkind: %s\\n---\\n' PriorityClass Namespace"
    taken = {"get namespaces -l": "echo namespace/team-a", "kustomize": rest}
    desk.kubectl({**SERVED, **taken, "delete --ignore-not-found": f"cat > {desk.log}.rest"})
    code, out, error = desk.run("undeploy.sh")
    assert (code, "migctl is gone" in out) == (0, True), error
    removed = Path(f"{desk.log}.rest").read_text()
    assert ("Namespace" in removed, "PriorityClass" in removed) == (True, False), "others may have such classes"
    wanted = ["delete deployment", "--cascade=orphan", "label namespace/team-a migctl.dev/project-", "delete daemonset"]
    found = [next(i for i, words in enumerate(desk.asked) if part in words) for part in wanted]
    assert found == sorted(found)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_shellcheck_finds_nothing() -> None:
    scripts = [str(path) for path in sorted(SCRIPTS.glob("*.sh"))]
    done = subprocess.run(["shellcheck", "-x", *scripts], capture_output=True, text=True, cwd=SCRIPTS.parents[1])
    assert done.returncode == 0, done.stdout


def test_scripts_can_be_run() -> None:
    assert all(os.access(path, os.X_OK) for path in SCRIPTS.glob("*.sh") if path.name != "common.sh")
