"""The driver's libraries, tools and control devices, as NVIDIA's own tool finds them on the host.

`nvidia-ctk cdi generate` lists what every container with a GPU needs: mounts of the libraries of
exactly this driver, hooks that make them known to the loader, control devices. Its GPUs are left
out: which devices a claim has is the agent's to say. In a container of its own the agent runs the host's
tool inside the host's root, so that every path is the host's.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nodeagent import procfs
from nodeagent.cdi.edits import ContainerEdits
from nodeagent.contract.allocation import Unsupported

_GENERATE = ("nvidia-ctk", "cdi", "generate", "--format=json")
_TIMEOUT_S = 30.0
_ADVICE = "install nvidia-container-toolkit on the node: it knows the driver's libraries that containers need"


class _Spec(msgspec.Struct, rename="camel"):
    container_edits: ContainerEdits


class Toolkit:
    """What is common to all containers with a GPU, read again when the driver, its files or the tool are others.

    host_root  where the host's root is mounted
    """

    def __init__(self, host_root: Path = Path("/")) -> None:
        within = () if host_root == Path("/") else ("chroot", str(host_root))
        self._command: Sequence[str] = (*within, *_GENERATE)
        self._root = host_root
        self._lock = threading.Lock()
        self._known: ContainerEdits | None = None
        self._read_from: object = None

    def common(self) -> ContainerEdits:
        """Raises Unsupported with what to do about it."""
        with self._lock:
            if self._known is None or self._read_from != self._source(self._known):
                self._known = None
                known = self._generate()
                self._read_from = self._source(known)
                self._known = known
            return self._known

    def _source(self, edits: ContainerEdits) -> object:
        """What the edits were made from, as it is now: the loaded driver, the tool, and each file that is mounted."""
        tool = next(filter(None, (_identity(self._on_host(f"{folder}/{_GENERATE[0]}")) for folder in _path())), None)
        return procfs.nvidia_driver(), tool, [_identity(self._on_host(mount.host_path)) for mount in edits.mounts]

    def _on_host(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def _generate(self) -> ContainerEdits:
        try:
            done = subprocess.run(self._command, capture_output=True, timeout=_TIMEOUT_S, check=True)
            return msgspec.json.decode(done.stdout, type=_Spec).container_edits
        except FileNotFoundError as e:
            raise Unsupported(f"{e.filename} is not there: {_ADVICE}") from e
        except subprocess.CalledProcessError as e:
            raise Unsupported(f"{self._failure(e.stderr)}: {_ADVICE}, version 1.16 or later") from e
        except (subprocess.TimeoutExpired, OSError, msgspec.MsgspecError) as e:
            raise Unsupported(f"{' '.join(self._command)}: {e}; it must print a CDI specification as JSON") from e

    def _failure(self, stderr: bytes) -> str:
        lines = stderr.decode(errors="replace").strip().splitlines()
        return f"{' '.join(self._command)} failed: {lines[-1] if lines else 'no message'}"


def _path() -> list[str]:
    return os.environ.get("PATH", os.defpath).split(":")


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    """Which file stands at a path, and its content's age; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
