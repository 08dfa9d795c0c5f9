"""The command line in this process, on the fake cluster, as a person with a kubeconfig."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migctl.cli import system
from migctl.cli.main import run
from tests.fakes.kubernetes_cluster.cluster import FakeCluster


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Person:
    """Types commands. What would take the process's place is kept in `executed`."""

    name: str
    environ: dict[str, str]
    executed: list[tuple[Sequence[str], Mapping[str, str], str]] = field(default_factory=list)

    async def __call__(self, *words: str) -> Result:
        return await asyncio.to_thread(self._run, words)

    async def ok(self, *words: str) -> Result:
        result = await self(*words)
        assert result.code == 0, result
        return result

    def _run(self, words: Sequence[str]) -> Result:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        mine = replace(
            system.real(clusters_only=True),
            environ=self.environ,
            execute=lambda *call: self.executed.append(call),
        )
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words, mine)
            out.flush()
        return Result(code, out.buffer.getvalue().decode(), err.getvalue())


def person(cluster: FakeCluster, home: Path, name: str = "ana", project: str = "team-a") -> Person:
    """Somebody with the role `edit` in a project; "admin" may everything."""
    if name != "admin":
        cluster.operations.authorizer.let_edit(name, project)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": cluster.server.url}}],
        "users": [{"name": name, "user": {"token": name}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": name, "namespace": project}}],
        "current-context": "fake",
    }
    path = home / f"{name}.kubeconfig"
    path.write_text(json.dumps(config))
    return Person(name, {"HOME": str(home), "PATH": "/usr/bin:/bin", "KUBECONFIG": str(path)})
