"""What the compiled libraries ask of a machine, and that nothing runs merely because they are there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.shim import build
from nodeagent.shim.build import DRIVER_CUDA, DRIVER_NVML, LIBRARIES, SOURCES
from nodeagent.shim.libraries import Libraries
from tests.nodeagent.shim.harness.machine import Machine, Share
from tests.nodeagent.shim.harness.toolchain import Toolchain

OLDEST_GLIBC = (2, 17)
ARM_COMPILER = "aarch64-linux-gnu-gcc"


@pytest.fixture(scope="module", params=["native", "arm64"])
def built(request: pytest.FixtureRequest, toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of our libraries, for this machine and cross-compiled."""
    if request.param == "native":
        return toolchain.ours().cuda.parent
    if not shutil.which(ARM_COMPILER):
        pytest.skip(f"no {ARM_COMPILER}: install gcc-aarch64-linux-gnu to check arm64")
    folder = tmp_path_factory.mktemp("arm64")
    build.build_all(folder, cc=ARM_COMPILER)
    return folder


def readelf(*words: str | Path) -> str:
    if not shutil.which("readelf"):
        pytest.skip("no readelf: install binutils")
    return subprocess.run(["readelf", "-W", *words], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.file)
class TestEveryLibrary:
    def test_needs_the_driver_under_its_other_name_and_libc(self, built: Path, library: build.Library) -> None:
        dynamic = readelf("-d", built / library.file)
        assert re.findall(r"NEEDED.*\[(.*)\]", dynamic) == [library.driver, "libc.so.6"]
        assert re.findall(r"SONAME.*\[(.*)\]", dynamic) == [library.soname]
        assert re.findall(r"RUNPATH.*\[(.*)\]", dynamic) == ["$ORIGIN"]

    def test_runs_nothing_when_loaded_or_unloaded(self, built: Path, library: build.Library) -> None:
        dynamic = readelf("-d", built / library.file)
        assert not re.search(r"\((INIT|FINI|INIT_ARRAY|FINI_ARRAY|PREINIT_ARRAY)\)", dynamic)
        assert "NODELETE" in dynamic
        assert "BIND_NOW" in dynamic

    def test_loads_with_every_glibc_since_2_17(self, built: Path, library: build.Library) -> None:
        versions = re.findall(r"Name: GLIBC_([\d.]+)", readelf("-V", built / library.file))
        assert versions
        assert max(tuple(map(int, version.split("."))) for version in versions) <= OLDEST_GLIBC

    def test_writes_and_executes_no_page(self, built: Path, library: build.Library) -> None:
        headers = readelf("-l", built / library.file)
        assert not re.search(r"LOAD.* RWE ", headers)
        assert re.search(r"GNU_STACK.* RW ", headers)

    def test_exports_driver_functions_only(self, built: Path, library: build.Library) -> None:
        prefix = "nvml" if library.driver == DRIVER_NVML else "cu"
        exported = _exported(built / library.file)
        assert exported
        assert all(name.startswith(prefix) for name in exported)


def _exported(path: Path) -> set[str]:
    symbols = readelf("--dyn-syms", path)
    return set(re.findall(r"FUNC +GLOBAL +DEFAULT +\d+ (\w+)", symbols))


def test_what_is_exported_is_what_must_be_bounded(built: Path) -> None:
    listed = re.findall(r"^    F\((cu\w+), ", (SOURCES / "driver" / "cuda_abi.h").read_text(), re.MULTILINE)
    queries = re.findall(
        r"F\((cu\w+), ", (SOURCES / "driver" / "cuda_abi.h").read_text().partition("#define CUDA_QUERIES")[2]
    )
    launches = {name for name in listed if "Launch" in name}
    assert _exported(built / "libcuda.so") == set(listed) - set(queries) - launches


def test_ldconfig_does_not_mistake_the_drivers_other_name_for_a_library() -> None:
    assert not any(name.startswith(("lib", "ld-")) for name in (DRIVER_CUDA, DRIVER_NVML))


def test_no_source_calls_what_a_guest_must_not() -> None:
    forbidden = re.compile(
        r"\b(exit|_exit|abort|assert|signal|sigaction|umask|pthread_create|fork|setenv|printf|puts)\("
    )
    getenv = re.compile(r"\bgetenv\(")
    for path in SOURCES.rglob("*.c"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not forbidden.search(text), path.name
        assert not getenv.search(text), path.name


CPU_PROGRAM = """
import os, signal, subprocess, threading
before = signal.getsignal(signal.SIGTERM), len(os.listdir("/proc/self/fd")), threading.active_count()
{load}
assert subprocess.run(["true"]).returncode == 0
if os.fork() == 0:
    os._exit(3)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
after = signal.getsignal(signal.SIGTERM), len(os.listdir("/proc/self/fd")), threading.active_count()
assert before == after, (before, after)
print("fine")
"""
LOAD = "import ctypes\nctypes.CDLL('libcuda.so.1'), ctypes.CDLL('libnvidia-ml.so.1')"


@pytest.mark.parametrize("load", ["", LOAD], ids=["not opened", "opened and never called"])
@pytest.mark.parametrize("whole", [True, False], ids=["intact", "without limits"])
def test_programs_without_cuda_are_unaffected(share: Share, load: str, whole: bool) -> None:
    before = share.region.read_bytes()
    if not whole:
        share.limits.unlink()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", CPU_PROGRAM.format(load=load)],
        env=share.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")
    assert share.region.read_bytes() == before


def test_a_share_on_a_machine_without_the_driver_fails_to_load_as_it_would_without_us(
    machine: Machine, ours: Libraries
) -> None:
    share = machine.share("share", ours, 1)
    machine.drivers.cuda.unlink()
    load = "import ctypes\ntry:\n    ctypes.CDLL('libcuda.so.1')\nexcept OSError as e:\n    print(e)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", load], env=share.environment(), capture_output=True, text=True, check=True
    )
    assert "cannot open shared object file" in done.stdout
