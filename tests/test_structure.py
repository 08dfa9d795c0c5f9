"""The structure as a test: small folders, no circles of imports, unique names, declared dependencies.

Which room may import which is in pyproject.toml (import-linter; `make check`).
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = ("migctl", "nodeagent", "solver")
MOST_MODULES = 12
MOST_LINES = 500
GENERATED = "stubs"
"""Folder of generated code, whose class names follow the kubelet's API."""


@cache
def imports() -> grimp.ImportGraph:
    """Every import between our modules, those inside functions and for type checkers only included."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(p for p in (ROOT / folder).rglob("*.py") if GENERATED not in p.parts)


def folders() -> list[Path]:
    found = {path.parent for path in sources(*PACKAGES, "tests", "deploy")}
    return sorted(folder.relative_to(ROOT) for folder in found)


@pytest.mark.parametrize("folder", folders(), ids=str)
def test_a_folder_is_small(folder: Path) -> None:
    own = [path.name for path in (ROOT / folder).glob("*.py") if path.name not in {"__init__.py", "conftest.py"}]
    assert len(own) <= MOST_MODULES, own


def test_a_file_is_small() -> None:
    long = {str(path): lines for path in sources(*PACKAGES, "deploy") if (lines := _lines(path)) > MOST_LINES}
    assert not long


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("package", ["", *sorted(m for m in imports().modules if imports().find_children(m))])
def test_there_is_no_circle_of_imports(package: str) -> None:
    """Between the files and folders of each folder; its `__init__` counts as one of its files."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module in imports().modules:
        for imported in imports().find_modules_directly_imported_by(module):
            importer, target = _child(package, module), _child(package, imported)
            if importer and target and importer != target:
                graph[importer].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def _child(package: str, module: str) -> str | None:
    """The file or folder of the package that the module is, or is in; None where it is elsewhere."""
    if not package:
        return module.partition(".")[0]
    if module == package:
        return "__init__"
    return module.removeprefix(package + ".").partition(".")[0] if module.startswith(package + ".") else None


def test_class_names_are_unique() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in sources(*PACKAGES, "deploy"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in where.items() if len(paths) > 1}


@pytest.mark.parametrize("package", sorted(m for m in imports().modules if imports().find_children(m)))
def test_a_package_says_what_it_is_for(package: str) -> None:
    text = (ROOT / package.replace(".", "/") / "__init__.py").read_text()
    assert len((ast.get_docstring(ast.parse(text)) or "").split()) >= 5


# Dependencies. A part is what somebody installs: an extra of pyproject.toml, made for what these modules import.

DISTRIBUTIONS = {
    "fastapi_offline": "fastapi-offline",
    "google": "protobuf",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic",
    "pynvml": "nvidia-ml-py",
    "yaml": "pyyaml",
}
"""Distributions that are not called as the module that they bring."""


@cache
def declared() -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """Names of the distributions that migctl needs, and of those in each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {extra: _names(lines) for extra, lines in project["optional-dependencies"].items()}
    return _names(project["dependencies"]), extras


def _names(lines: list[str]) -> frozenset[str]:
    return frozenset(Requirement(line).name for line in lines)


def modules_of(*roots: str, without: tuple[str, ...] = ()) -> frozenset[str]:
    """Our modules that importing these comes to import at some time, but for those in `without`."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module in found or any(module == w or module.startswith(f"{w}.") for w in without):
            continue
        found.add(module)
        todo += imports().find_modules_directly_imported_by(module)
        todo += [parent] if (parent := module.rpartition(".")[0]) else []
    return frozenset(found)


def distributions(modules: frozenset[str]) -> frozenset[str]:
    """What the modules import that is neither ours nor Python's."""
    found: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse(_path(module).read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return frozenset(DISTRIBUTIONS.get(name, name) for name in found - {*PACKAGES, *sys.stdlib_module_names})


def _path(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _command_line() -> frozenset[str]:
    """Commands load their modules by name. What plans, simulates or serves on this machine comes with other parts."""
    commands = [module for module in imports().modules if module.startswith("migctl.cli")]
    elsewhere = ("migctl.embedded", "migctl.simulate", "migctl.solver_process", "solver.planner", "solver.defragment")
    return modules_of(*commands, without=(*elsewhere, "solver.whatif", "solver.online"))


PARTS: Mapping[str, Callable[[], frozenset[str]]] = {
    "agent": lambda: modules_of("nodeagent.__main__"),
    "api": lambda: modules_of("migctl.cluster_api.__main__"),
    "charts": lambda: frozenset({"migctl.simulate.results.charts"}),
    "cli": _command_line,
    "controller": lambda: modules_of("migctl.controller.__main__", "migctl.solver_process.__main__"),
    "embedded": lambda: modules_of("migctl.embedded.__main__", "migctl.solver_process.__main__"),
}


@pytest.mark.parametrize("part", PARTS)
def test_an_extra_declares_what_its_part_imports(part: str) -> None:
    assert declared()[1][part] == distributions(PARTS[part]())


def test_installing_migctl_installs_every_part_and_nothing_else() -> None:
    every, extras = declared()
    assert every == frozenset().union(*(extras[part] for part in PARTS))
    ours = frozenset(module for module in imports().modules if module != "nodeagent.dra.stubs")
    assert every >= distributions(ours)


def test_every_dependency_has_an_upper_bound_and_the_same_one_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for part in PARTS for line in project["optional-dependencies"][part])]
    assert len({Requirement(line).name for line in lines}) == len(set(lines))
    assert not [line for line in lines if "<" not in line]
