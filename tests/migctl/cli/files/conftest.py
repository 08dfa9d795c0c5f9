"""A machine with two GPUs, and files to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100


@pytest.fixture
def machine(team: Cli) -> Cli:
    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-a", scenes.gpu("node-a", 0, A100), scenes.gpu("node-a", 1, V100)))

    team.do(fill)
    return team


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str | dict[str, Any], name: str = "w.yaml") -> str:
        path = tmp_path / "yaml" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return str(path)

    return written
