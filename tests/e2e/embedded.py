"""A running `migctl up` on simulated GPUs, used through its command line as a person would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from migctl.backends.http.client import RemoteControlPlane
from migctl.embedded.home import HOME_VARIABLE as HOME
from migctl.objects import (
    Claim,
    GpuNode,
    GpuRequest,
    Meta,
    Phase,
    Project,
    ProjectStatus,
    T,
    Workload,
    WorkloadSpec,
    WorkloadType,
)
from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.environment import CLAIM
from solver.model.demand import DeviceShare
from tests.limits import WAIT_S

HOLD = ("--", "sleep", "600")
R = TypeVar("R")


@dataclass(frozen=True)
class Embedded:
    """One home. Commands run as processes of their own, with this home and config in their environment."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"MIGCTL_HOME": str(self.home), "MIGCTL_CONFIG": str(self.home / "config.toml"), "NO_COLOR": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("MIGCTL_")}
        return {**kept, **own, "COLUMNS": "200"}

    def run(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """`migctl WORDS`, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "migctl", *words],
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def ok(self, *words: str) -> str:
        """What `migctl WORDS` prints; it must succeed."""
        done = self.run(*words)
        assert done.returncode == 0, f"migctl {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, code: int, *words: str) -> str:
        """What `migctl WORDS` says when it fails, as it must, with this exit code."""
        done = self.run(*words)
        assert done.returncode == code, f"migctl {' '.join(words)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def up(self, simulate: str) -> None:
        self.ok("up", "--simulate", simulate, "--detach")

    @property
    def log(self) -> Path:
        """What `migctl up` writes."""
        return self.home / "up.log"

    def pid(self) -> int:
        pid: int = json.loads((self.home / "up.json").read_text())["pid"]
        return pid

    def kill(self) -> None:
        """SIGKILL for `migctl up`."""
        process = psutil.Process(self.pid())
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)

    def end(self) -> None:
        """End `migctl up` and every workload of this home at once, and remove the home."""
        mine = [process for process in psutil.process_iter() if self._names_home(process)]
        sessions = {os.getsid(process.pid) for process in mine} - {os.getsid(0)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if process in mine or os.getsid(process.pid) in sessions:
                    process.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _names_home(self, process: psutil.Process) -> bool:
        """Whether the home stands among its words or variables; its launcher leads a workload's session."""
        try:
            told = (*process.cmdline(), *process.environ().values())
        except psutil.Error:
            return False
        return any(str(self.home) in word for word in told)

    def programs(self) -> Iterator[tuple[psutil.Process, str]]:
        """Living processes of this home's workloads, each with the uid of its claim."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                told = process.environ()
                if told.get(HOME) == str(self.home) and CLAIM in told and process.status() != psutil.STATUS_ZOMBIE:
                    yield process, told[CLAIM]

    def until(self, what: str, look: Callable[[], R]) -> R:
        """The first true answer of `look`, within a patience that no healthy run needs."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if answer := look():
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {WAIT_S:.0f} s\n{self.ok('list', '-A')}\n{self._last_lines()}")

    def look(self, kind: type[T]) -> tuple[T, ...]:
        """All objects of a kind, over the socket: what waiting looks at, cheaper than a command."""
        return asyncio.run(self._read(kind))

    async def _read(self, kind: type[T]) -> tuple[T, ...]:
        control = RemoteControlPlane(self.home / "migctl.sock")
        return (await control.list(kind)).items

    def look_at_everything(self) -> tuple[object, ...]:
        """Workloads, pods and nodes as they are now."""
        return self.look(Workload), self.look(Claim), self.look(GpuNode)

    def workload(self, name: str) -> Workload:
        return next(w for w in self.look(Workload) if w.meta.name == name)

    def names(self) -> list[str]:
        return sorted(w.meta.name for w in self.look(Workload))

    def status(self, name: str) -> Phase:
        return self.workload(name).status.phase

    def wait(self, name: str, phase: Phase) -> None:
        """Wait until a workload is in a phase."""
        self.until(f"{name} {phase}", lambda: self.status(name) is phase)

    def in_phase(self, phase: Phase) -> list[str]:
        """Names of the workloads in a phase."""
        return [w.meta.name for w in self.look(Workload) if w.status.phase is phase]

    def project(self, name: str) -> ProjectStatus:
        """A project's figures."""
        return next(p.status for p in self.look(Project) if p.meta.name == name)

    def report(self) -> NodeReport:
        """What the node's agent sees."""
        (node,) = self.look(GpuNode)
        assert node.status.report is not None
        return node.status.report

    def pods(self, name: str) -> list[Claim]:
        """A workload's pods, oldest first."""
        mine = [claim for claim in self.look(Claim) if claim.spec.workload == name]
        return sorted(mine, key=lambda claim: int(claim.meta.version))

    def running(self, *names: str) -> dict[str, Claim]:
        """Wait until these workloads run; each one's newest pod."""

        def look() -> dict[str, Claim]:
            newest = {c.spec.workload: c for c in sorted(self.look(Claim), key=lambda c: int(c.meta.version))}
            up = all(name in newest and newest[name].status.phase is Phase.RUNNING for name in names)
            return {name: newest[name] for name in names} if up else {}

        return self.until(f"{', '.join(names)} running", look)

    def submit_many(self, names: list[str], request: dict[str, Any]) -> None:
        """Create many trainings at once, as many people's command lines would."""

        async def create() -> None:
            control = RemoteControlPlane(self.home / "migctl.sock")
            spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(**request), command=("sleep", "600"))
            await asyncio.gather(
                *(control.create(Workload(meta=Meta(name=name, project="team-a"), spec=spec)) for name in names)
            )

        asyncio.run(create())

    def delete_all(self) -> None:
        if names := self.names():
            self.ok("delete", *names)
            self.until("everything is deleted", lambda: not self.names())

    def _last_lines(self) -> str:
        return self.log.read_text()[-4000:] if self.log.exists() else ""


def share(pod: Claim) -> DeviceShare:
    """The only device of a pod that has its place."""
    assert pod.status.allocation is not None
    (device,) = pod.status.allocation.devices
    return device
