"""The wheel brings the compiled libraries, is of this platform, and `migctl run` of it uses them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nodeagent.shim.build import LIBRARIES
from tests.nodeagent.shim.conftest import MakeMachine
from tests.nodeagent.shim.harness.machine import GIB, StandinGpu, gpu_uuid
from tests.nodeagent.shim.harness.toolchain import Toolchain

SOURCE = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def wheel(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the build reads, so that the source tree stays as it is."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(SOURCE / name, source / name)
    for name in ("migctl", "solver", "nodeagent"):
        shutil.copytree(SOURCE / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "lib"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (found,) = made.glob("*.whl")
    return found


def test_it_holds_every_library_and_says_for_which_platform(wheel: Path) -> None:
    assert wheel.name.endswith(f"-py3-none-linux_{platform.machine()}.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"nodeagent/shim/lib/{library.file}" for library in LIBRARIES} <= names


def test_what_is_installed_from_it_bounds_a_program(wheel: Path, tmp_path: Path, make_machine: MakeMachine) -> None:
    machine = make_machine(StandinGpu(gpu_uuid(0), 16 * GIB))
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    show = (
        "import ctypes, nodeagent; c = ctypes.CDLL('libcuda.so.1'); n = ctypes.c_size_t(); c.cuInit(0); "
        "c.cuDeviceTotalMem_v2(ctypes.byref(n), 0); print(n.value, nodeagent.__file__)"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "LD_LIBRARY_PATH": str(machine.beside().libraries),
        "PYTHONPATH": str(tmp_path / "site"),
    }
    command = [sys.executable, "-m", "migctl", "run", "-g", "0.25", "--", sys.executable, "-c", show]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(4 * GIB), str(tmp_path / "site" / "nodeagent" / "__init__.py")]
