from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeagent.shim.build import BuildError, compiler
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness.machine import Machine, Share, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Toolchain:
    try:
        compiler()
    except BuildError as error:
        pytest.skip(str(error))
    base = tmp_path_factory.getbasetemp()
    return Toolchain((base if worker_id == "master" else base.parent) / "shim-toolchain")


@pytest.fixture(scope="session")
def ours(toolchain: Toolchain) -> Libraries:
    return toolchain.ours()


MakeMachine = Callable[..., Machine]


@pytest.fixture
def make_machine(toolchain: Toolchain, tmp_path: Path) -> MakeMachine:
    numbers = itertools.count()

    def make(*gpus: StandinGpu, knobs: int = 0) -> Machine:
        return Machine.make(tmp_path / f"machine-{next(numbers)}", toolchain.standins(), gpus, knobs)

    return make


@pytest.fixture
def machine(make_machine: MakeMachine) -> Machine:
    """One GPU of 16 GiB whose contexts cost nothing."""
    return make_machine(StandinGpu(gpu_uuid(0)))


@pytest.fixture
def share(machine: Machine, ours: Libraries) -> Share:
    """1 GiB of that GPU."""
    return machine.share("share", ours, 1 << 30)
