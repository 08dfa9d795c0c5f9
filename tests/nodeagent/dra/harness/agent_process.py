"""The agent of a Kubernetes node as a process, over simulated GPUs: started, killed, started again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.state import StateFile
from tests.limits import WAIT_S
from tests.nodeagent.dra.harness.api_server import NAMESPACE, ApiServer, until
from tests.nodeagent.dra.harness.kubelet import FakeKubelet


class AgentProcess:
    """A node whose kubelet, GPUs and directories outlive its agent. Its folder's name is short: sockets are in it.

    create_s, destroy_s  the driver's latencies
    """

    def __init__(
        self, api: ApiServer, node: str, gpus: str = "a100-40gb=1", *, create_s: float = 0.0, destroy_s: float = 0.0
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dra-"))
        self.api, self.node, self.gpus = api, node, gpus
        self.kubelet = FakeKubelet(self.folder / "k", NAMESPACE)
        self.cdi = self.folder / "cdi"
        spec.create(self.folder / "s" / "simulated.json", gpus, seed=node, create_s=create_s, destroy_s=destroy_s)
        self.machine = StateFile(self.folder / "s" / "simulated.json")
        self._log = self.folder / "log"
        self._log.touch()
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, **changed: Path) -> subprocess.Popen[bytes]:
        """Start a process and let it come up as it may. `changed`: directories other than this node's own."""
        directories = {"state-dir": self.folder / "s", "kubelet-root": self.folder / "k", "cdi-dir": self.cdi}
        directories |= {name.replace("_", "-"): path for name, path in changed.items()}
        words = [f"--{name}={path}" for name, path in directories.items()]
        kubeconfig = self.api.kubeconfig(self.folder / "kubeconfig", self.node)
        command = [sys.executable, "-m", "nodeagent", f"--kubeconfig={kubeconfig}", f"--node-name={self.node}", *words]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*command, f"--simulate={self.gpus}", "--host=127.0.0.1", "--port=0"], stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start the agent and register it as soon as it serves."""
        self._process = self.begin()
        self._starts += 1
        until(lambda: len(self.logged("serving")) == self._starts or self.ended())
        assert not self.ended(), self.printed()
        self.kubelet.register()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: nothing is closed, removed or said."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(WAIT_S) == -signal.SIGKILL

    def ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(WAIT_S)

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The agent's log lines about an event."""
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def printed(self) -> str:
        return self._log.read_text()

    def probe(self, path: str) -> str:
        """What the agent answers over HTTP."""
        port = self.logged("serving")[-1]["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=WAIT_S) as answer:
            text: str = answer.read().decode()
        return text

    def hardware(self) -> list[dict[str, Any]]:
        """The GPUs' own state."""
        gpus: list[dict[str, Any]] = self.machine.read()["gpus"]
        return gpus

    def report(self) -> dict[str, Any]:
        """What the API server has of this node; {} before the first report."""
        status = self.api.gpu_node(self.node) or {}
        report: dict[str, Any] = status.get("report", {})
        return report

    def held(self) -> list[str]:
        """The claims held, as reported."""
        return [one["claim"] for one in self.report().get("allocations", ())]
