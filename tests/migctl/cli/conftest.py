"""The command line in this process, on a control plane in memory with a small cluster in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.backends.http.runtime import ExecEnvironment
from migctl.backends.http.wire import Peer
from migctl.backends.mirror import Mirror
from migctl.cli.contexts.context import LOCAL, Context
from migctl.cli.contexts.control import Control
from migctl.cli.contexts.local import LocalRuntime
from migctl.cli.main import run
from migctl.cli.session import System
from migctl.controller.observe import Observer
from migctl.objects import Meta, Project, ProjectSpec, Workload, WorkloadVerdict
from migctl.solver_process.planning import plan
from migctl.verdicts.live import Verdicts
from tests.fakes.control_plane import ManualClock, MemoryControlPlane
from tests.fakes.terminal import terminal

R = TypeVar("R")


class Cluster(LocalRuntime, AdmittingControlPlane):
    """A control plane in memory behind admission, and what a runtime adds: logs, environments, the peer."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(MemoryControlPlane(clock))
        self._clock = clock
        self.written: dict[tuple[str, str], list[bytes]] = {}
        self.environments: dict[tuple[str, str], ExecEnvironment] = {}

    async def logs(
        self, project: str, workload: str, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[bytes]:
        lines = self.written.get((project, workload), [])
        for line in lines if tail is None else lines[len(lines) - tail :]:
            yield line

    async def exec_environment(self, project: str, workload: str) -> ExecEnvironment:
        return self.environments[project, workload]

    async def verdict(self, workload: Workload) -> WorkloadVerdict:
        mirror = Mirror(self)
        await mirror.read()
        return await Verdicts(mirror, self._clock, plan, Observer(mirror))(workload)

    async def whoami(self) -> Peer:
        return Peer("ada", 1000, 1000, 4711)


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Cli:
    """Runs command lines as the scripts do."""

    cluster: Cluster
    clock: ManualClock
    home: Path
    capture: pytest.CaptureFixture[str]
    environ: dict[str, str] = field(default_factory=dict)
    executed: list[tuple[Sequence[str], Mapping[str, str], str]] = field(default_factory=list)
    failing: BaseException | None = None
    columns: int | None = None
    """Width of the terminal that stdout is; None: it is none."""
    names: Iterator[str] = field(default_factory=lambda: (f"job-{number:04x}" for number in range(0x1A2B, 0xFFFF)))

    def __call__(self, *words: str) -> Result:
        self.capture.readouterr()
        if self.columns is not None:
            with terminal(self.columns) as written:
                code = run(words, self._world())
            return Result(code, "".join(written), self.capture.readouterr().err)
        code = run(words, self._world())
        captured = self.capture.readouterr()
        return Result(code, captured.out, captured.err)

    def ok(self, *words: str) -> Result:
        result = self(*words)
        assert result.code == 0, result
        return result

    def do(self, work: Callable[[Cluster], Awaitable[R]]) -> R:
        """What a test does behind the command line's back."""

        async def done() -> R:
            return await work(self.cluster)

        return asyncio.run(done())

    def _world(self) -> System:
        @asynccontextmanager
        async def connect(target: Context, environ: Mapping[str, str]) -> AsyncIterator[Control]:
            if self.failing is not None:
                raise self.failing
            yield self.cluster

        return System(
            environ={"HOME": str(self.home), **self.environ},
            directory="/home/ada/work",
            now=self.clock,
            locate=lambda environ, chosen: Context(LOCAL, chosen=False),
            connect=connect,
            execute=lambda *call: self.executed.append(call),
            random_name=lambda: next(self.names),
        )


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A command line for a cluster that has nothing yet."""
    clock = ManualClock()
    return Cli(Cluster(clock), clock, tmp_path, capsys)


@pytest.fixture
def team(cli: Cli) -> Cli:
    """The same with projects team-a, the default, and team-b."""
    for name in ("team-a", "team-b"):
        cli.do(lambda cluster, name=name: cluster.create(Project(meta=Meta(name=name), spec=ProjectSpec(quota=1.0))))  # type: ignore[misc]
    cli.environ["MIGCTL_PROJECT"] = "team-a"
    return cli
