"""The doctor's checks of a Kubernetes node: the kubelet's sockets, CDI, the container runtime; and cgroups."""

from __future__ import annotations

import os
import shutil
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodeagent.contract.wire import DRIVER
from nodeagent.doctor.findings import DoctorFinding, Level

_TIMEOUT_S = 2.0
_CRI = "io.containerd.grpc.v1.cri"
_CRI_RUNTIME = "io.containerd.cri.v1.runtime"
"""containerd's plugin that injects CDI devices, until 1.7 and since 2.0."""


def findings(root: Path) -> Iterator[DoctorFinding]:
    """Everything; beyond cgroups only where there is a kubelet."""
    yield _cgroups(root)
    kubelet = root / "var/lib/kubelet"
    if not (kubelet / "plugins_registry").exists():
        return
    yield from _sockets(kubelet)
    yield from _specs(root)
    yield from _containerd(root / "etc/containerd/config.toml")


def _cgroups(root: Path) -> DoctorFinding:
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        return DoctorFinding("cgroups", Level.OK, "cgroup v2")
    text = "cgroup v1: the driver's own limits on a share's memory (R615) need cgroup v2"
    return DoctorFinding("cgroups", Level.NOTE, text, "boot with systemd.unified_cgroup_hierarchy=1")


def _sockets(kubelet: Path) -> Iterator[DoctorFinding]:
    registry = kubelet / "plugins_registry"
    if not os.access(registry, os.W_OK):
        yield DoctorFinding("kubelet", Level.ERROR, f"{registry} cannot be written", "run the node agent as root")
        return
    for path in (kubelet / "plugins" / DRIVER / "dra.sock", registry / f"{DRIVER}-reg.sock"):
        if not path.exists():
            text, fix = (
                f"no node agent serves at {path}",
                "start migctl-agent; its log says what keeps it from starting",
            )
            yield DoctorFinding("kubelet", Level.NOTE, text, fix)
        elif not _answers(path):
            text, fix = f"no process answers at {path}: an agent was killed there", "start migctl-agent: it takes over"
            yield DoctorFinding("kubelet", Level.WARNING, text, fix)
        else:
            yield DoctorFinding("kubelet", Level.OK, f"a node agent serves at {path}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _specs(root: Path) -> Iterator[DoctorFinding]:
    if shutil.which("nvidia-ctk") is None:
        fix = "install nvidia-container-toolkit: it knows the driver's libraries that containers need"
        yield DoctorFinding("cdi", Level.ERROR, "nvidia-ctk is not there", fix)
    else:
        yield DoctorFinding("cdi", Level.OK, "nvidia-ctk is there")
    folder = root / "var/run/cdi"
    open_to_all = [path for path in sorted(folder.glob(f"{DRIVER}-*.json")) if path.stat().st_mode & 0o077]
    if open_to_all:
        text = f"{open_to_all[0]} can be read by others, and says who uses which GPU"
        yield DoctorFinding("cdi", Level.WARNING, text, f"chmod 600 {folder}/{DRIVER}-*.json")


def _containerd(path: Path) -> Iterator[DoctorFinding]:
    if not path.exists():
        return
    try:
        plugins: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("plugins", {})
        found = [plugins.get(name, {}) for name in (_CRI, _CRI_RUNTIME)]
        enabled = [plugin["enable_cdi"] for plugin in found if "enable_cdi" in plugin]
    except (OSError, ValueError, TypeError, AttributeError) as e:
        yield DoctorFinding(
            "runtime", Level.NOTE, f"{path} cannot be read: {e}", "see whether containerd injects CDI devices"
        )
        return
    if False in enabled:
        fix = f"set enable_cdi = true in {path} and restart containerd"
        yield DoctorFinding("runtime", Level.ERROR, "containerd is configured not to inject CDI devices", fix)
    elif not enabled and _CRI in plugins:
        fix = f"with containerd 1.7: set enable_cdi = true in {path} and restart it"
        yield DoctorFinding("runtime", Level.NOTE, "containerd injects CDI devices by itself only since 2.0", fix)
    else:
        yield DoctorFinding("runtime", Level.OK, "containerd injects CDI devices")
