"""The command line against a real API server, with an admin's kubeconfig: what only a real one answers."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.harness import Harness
from tests.cluster.workloads import FOREVER, job

pytestmark = pytest.mark.anyio


@dataclass
class Typed:
    """Types commands about one project, in processes of their own."""

    cluster: Harness
    project: str
    home: Path

    async def __call__(self, *words: str) -> tuple[int, str]:
        environ = {
            **os.environ,
            "KUBECONFIG": str(self.cluster.place.kubeconfig),
            "MIGCTL_HOME": str(self.home),
            "MIGCTL_CONFIG": str(self.home / "config.json"),
            "MIGCTL_PROJECT": self.project,
        }
        program = "from migctl.cli.main import plugin; plugin()"
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, *words, env=environ, stdout=-1, stderr=-2
        )
        said, _ = await started.communicate()
        return started.returncode or 0, said.decode()

    async def ok(self, *words: str) -> str:
        code, said = await self(*words)
        assert code == 0, said
        return said


async def test_a_day_at_the_command_line(cluster: Harness, tmp_path: Path) -> None:
    await cluster.start_agent("v100=1")
    project = await cluster.project("cli", quota=1)
    migctl = Typed(cluster, project, tmp_path)
    image, sleep = ("-i", cluster.place.image), ("--", "sh", "-c", FOREVER)
    await migctl.ok("submit", "frac05", *image, "-g", "0.5", "--", "sh", "-c", "echo hello; " + FOREVER)
    await migctl.ok("workspace", "submit", "desk", *image, "--gpu-portion-request", "0.25", *sleep)
    await migctl.ok("inference", "submit", "serve", *image, "--gpu-portion-request", "0.25", *sleep)
    for name in ("frac05", "desk", "serve"):
        await migctl.ok("wait", name, "--timeout", "60s")
    assert await migctl.ok("logs", "frac05") == "hello\n"
    listed = await migctl.ok("list")
    assert all(name in listed for name in ("Train", "Interactive", "Inference"))
    dry = await migctl("submit", "more", *image, "-g", "0.5", "--dry-run", "--", "true")
    assert dry == (0, f"Would submit training more to project {project}: 0.50 GPU\n")
    await migctl.ok("submit", "more", *image, "-g", "0.5", *sleep)

    async def said_why() -> bool:
        return "no GPU has 0.5 GPU free" in await migctl.ok("why", "more")

    await cluster.until(said_why)
    await migctl.ok("suspend", "desk")
    await migctl.ok("delete", "frac05")
    assert (await migctl("delete", "frac05"))[0] == 3
    await migctl.ok("wait", "more", "--timeout", "60s")
    assert "starts on new-node-1/0" in await migctl.ok("plan", "what-if", "--add", "1", "--add-node", "v100=1")
    await migctl.ok("delete", "--all")


async def test_f1_an_admin_switches_mig_mode_and_a_gpu_in_use_refuses_with_the_reason(
    cluster: Harness, tmp_path: Path
) -> None:
    await cluster.start_agent("h100:nomig")
    project = await cluster.project("team-a", quota=1)
    typed = Typed(cluster, project, tmp_path)
    await cluster.create("jobs", project, job("train", cluster.place.image, gpus=1))
    await cluster.running(project, "train")
    code, said = await typed("node", "set", cluster.node, "--dynamic-mig", "on")
    assert (code, "train" in said) == (4, True)
    await cluster.delete("jobs", project, "train")

    async def free() -> bool:
        return not (await cluster.report())["allocations"]

    await cluster.until(free)
    code, said = await typed("node", "set", cluster.node, "--dynamic-mig", "on")
    assert (code, said) == (0, f"Dynamic MIG of node {cluster.node} is on\n")
    await cluster.create("jobs", project, job("one", cluster.place.image, {"migctl.dev/mig-profile": "1g.10gb"}))
    await cluster.running(project, "one")
