"""What others may rely on: names of the core, commands that an installation brings, paths of the socket's API.

A change here is a change for users or for another house, and belongs in CHANGELOG.md.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import grimp
import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime

ROOT = Path(__file__).parents[1]

DOORS = {
    "solver.planner": {"plan"},
    "solver.online": {"Decision", "Online", "StaleDecision"},
    "solver.whatif": {"Changed", "Difference", "SnapshotEdits", "compare", "edited", "layouts"},
    "solver.defragment": {"Proposal", "Relocation", "propose"},
    "solver.relocate": {"Relocations", "relocate", "same_place"},
    "solver.batch.batch_solver": {"BatchSolver", "BatchSolverFailed"},
}
"""The core's decisions, beside its vocabulary in solver.model."""

ALSO_READ = {
    "solver.batch.optimum.solve": "the solver process runs it",
    "solver.batch.problem": "what the solver process is asked, and answers",
    "solver.gpu_tables.layouts": "the simulator's baselines",
    "solver.gpu_tables.tables": "the simulator's baselines",
    "solver.quota.accounting": "the quota currency, on projects' status",
    "solver.quota.ledger": "fair shares, on projects' status",
    "solver.working_copy.kept": "what verdicts keep from one to the next",
    "solver.working_copy.occupancy": "the simulator's production policy",
}
"""What other houses use of the core's inside, and why."""


@pytest.mark.parametrize("door", DOORS)
def test_a_door_of_the_core_has_these_names(door: str) -> None:
    module = importlib.import_module(door)
    named = {name for name, value in vars(module).items() if getattr(value, "__module__", None) == door}
    assert {name for name in named if not name.startswith("_")} == DOORS[door]


def test_other_houses_use_the_core_by_its_doors_and_vocabulary() -> None:
    graph = grimp.build_graph("migctl", "solver", "nodeagent", cache_dir=None)
    others = [module for module in graph.modules if not module.startswith("solver")]
    used = {name for other in others for name in graph.find_modules_directly_imported_by(other)}
    inside = {name for name in used if name.startswith("solver.") and not name.startswith("solver.model.")}
    assert inside == {*DOORS, *ALSO_READ}


def test_an_installation_brings_these_commands() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == {"migctl", "kubectl-migctl", "migctl-agent"}
    for target in project["scripts"].values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name))


OBJECTS = "/apis/migctl.dev/v1alpha1"

PATHS = {
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/whoami": {"get"},
    f"{OBJECTS}/{{plural}}": {"get", "post"},
    f"{OBJECTS}/{{plural}}/{{name}}": {"delete", "get", "patch"},
    f"{OBJECTS}/workloads/{{name}}/exec-environment": {"get"},
    f"{OBJECTS}/workloads/{{name}}/log": {"get"},
}


def test_the_socket_serves_these_paths() -> None:
    served = create_app(AdmittingControlPlane(MemoryControlPlane()), FakeRuntime()).openapi()["paths"]
    assert {path: set(methods) for path, methods in served.items()} == PATHS
