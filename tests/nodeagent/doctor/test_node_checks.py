"""What the doctor finds on a Kubernetes node, on file systems made for it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.doctor.findings import DoctorFinding, Level
from nodeagent.doctor.node_checks import findings

DRIVER = "gpu.migctl.dev"
SOCKETS = (f"plugins/{DRIVER}/dra.sock", f"plugins_registry/{DRIVER}-reg.sock")


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node with cgroup v2, a kubelet and NVIDIA's toolkit. Its path is short: sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="node-") as directory:
        root = Path(directory)
        for name in ("sys/fs/cgroup", "var/run/cdi", "etc/containerd", "bin", f"var/lib/kubelet/plugins/{DRIVER}"):
            (root / name).mkdir(parents=True)
        (root / "var/lib/kubelet/plugins_registry").mkdir()
        (root / "sys/fs/cgroup/cgroup.controllers").touch()
        (root / "bin/nvidia-ctk").touch(mode=0o755)
        monkeypatch.setenv("PATH", str(root / "bin"))
        yield root


@pytest.fixture
def served(root: Path) -> Iterator[Path]:
    """An agent's sockets, with somebody who listens."""
    listeners = [socket.socket(socket.AF_UNIX) for _ in SOCKETS]
    for listener, name in zip(listeners, SOCKETS, strict=True):
        listener.bind(str(root / "var/lib/kubelet" / name))
        listener.listen()
    yield root
    for listener in listeners:
        listener.close()


def bad(root: Path) -> list[tuple[str, Level]]:
    return [(f.check, f.level) for f in findings(root) if f.level is not Level.OK]


def of(root: Path, check: str) -> DoctorFinding:
    return next(f for f in findings(root) if f.check == check and f.level is not Level.OK)


def test_a_node_with_its_agent_has_nothing_to_fix(served: Path) -> None:
    assert bad(served) == []


def test_without_a_kubelet_only_cgroups_matter(tmp_path: Path) -> None:
    assert [f.check for f in findings(tmp_path)] == ["cgroups"]
    assert "cgroup v1" in of(tmp_path, "cgroups").text


def test_an_agent_that_never_came_or_was_killed(root: Path) -> None:
    assert bad(root) == [("kubelet", Level.NOTE)] * 2
    for name in SOCKETS:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(root / "var/lib/kubelet" / name))
        left.close()
    assert bad(root) == [("kubelet", Level.WARNING)] * 2
    assert "an agent was killed" in of(root, "kubelet").text


def test_containers_need_nvidias_toolkit(served: Path) -> None:
    (served / "bin/nvidia-ctk").unlink()
    assert "nvidia-container-toolkit" in of(served, "cdi").fix


def test_specs_are_not_for_everybody(served: Path) -> None:
    (served / f"var/run/cdi/{DRIVER}-claim_a.json").touch(mode=0o600)
    assert bad(served) == []
    (served / f"var/run/cdi/{DRIVER}-claim_b.json").touch(mode=0o644)
    assert "claim_b.json can be read by others" in of(served, "cdi").text


@pytest.mark.parametrize(
    ("config", "level"),
    [
        ('version = 3\n[plugins."io.containerd.cri.v1.runtime"]\nenable_cdi = true', None),
        ("version = 3", None),
        ('version = 3\n[plugins."io.containerd.cri.v1.runtime"]\nenable_cdi = false', Level.ERROR),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = false', Level.ERROR),
        ('version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"', Level.NOTE),
        ("version = ", Level.NOTE),
        ("plugins = 5", Level.NOTE),
    ],
)
def test_containerd_must_inject_cdi_devices(served: Path, config: str, level: Level | None) -> None:
    (served / "etc/containerd/config.toml").write_text(config)
    assert bad(served) == ([("runtime", level)] if level else [])
