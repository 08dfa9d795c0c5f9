"""Compiles the libraries: `python -m nodeagent.shim.build [FOLDER]`.

Standard library only: the wheel's build hook runs it where nothing else is installed. Each library is linked
against an empty stub that bears the real library's other name, so no driver and no CUDA is needed; at run time the
dynamic loader puts the real library there, and every symbol that the shim does not define comes from it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
BUILT = Path(__file__).parent / "lib"

COMMON = ("driver/driver.c", "base/limits.c", "base/process.c", "region/region.c", "region/region_lock.c")
CUDA = (
    "accounting/ledger.c",
    "accounting/fork.c",
    "accounting/charges.c",
    "accounting/devices.c",
    "accounting/pools.c",
    "cuda/allocation.c",
    "cuda/memory.c",
    "cuda/stream_ordered.c",
    "cuda/vmm.c",
    "cuda/arrays.c",
    "cuda/contexts.c",
    "cuda/info.c",
    "cuda/getproc.c",
)

COMPILER_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
# No start files: they bring constructors. Never unloaded: a fork handler of ours may be registered.
LINKER_FLAGS = ("-shared", "-nostartfiles", "-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,-z,defs", "-Wl,-rpath,$ORIGIN")


class BuildError(Exception):
    """The compiler is missing or refused. The text is for people."""


@dataclass(frozen=True)
class Library:
    """One library of ours.

    file    its name among the built ones
    soname  what programs ask the loader for
    driver  the real library's other name: not lib*.so, or ldconfig would take it for the current libcuda.so.1
    """

    file: str
    soname: str
    driver: str
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()


DRIVER_CUDA = "migctl-driver-cuda.so.1"
DRIVER_NVML = "migctl-driver-nvml.so.1"

LIBRARIES = (
    Library("libcuda.so", "libcuda.so.1", DRIVER_CUDA, COMMON + CUDA),
    Library("libcuda-gated.so", "libcuda.so.1", DRIVER_CUDA, (*COMMON, *CUDA, "cuda/gate.c"), ("-DSHIM_GATED",)),
    Library("libnvidia-ml.so", "libnvidia-ml.so.1", DRIVER_NVML, (*COMMON, "nvml/nvml.c")),
)


def compiler() -> str:
    """The C compiler: $CC, gcc or cc."""
    for candidate in (os.environ.get("CC"), "gcc", "cc"):
        if candidate and shutil.which(candidate.split()[0]):
            return candidate
    raise BuildError("no C compiler found: install gcc, or set CC")


def build(
    library: Library, folder: Path, *, cc: str | None = None, flags: Sequence[str] = (), more: Sequence[Path] = ()
) -> Path:
    """Compile one library into a folder and return its path. `more`: sources besides its own."""
    command = [*(cc or compiler()).split(), *COMPILER_FLAGS]
    if _run([*command, "-dumpmachine"]).startswith("aarch64"):
        command.append("-mno-outline-atomics")  # their helper is chosen by a constructor
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / library.file
    with tempfile.TemporaryDirectory() as scratch:
        stub = Path(scratch) / library.driver
        _run(
            [*command, "-shared", "-nostdlib", f"-Wl,-soname,{library.driver}", "-x", "c", os.devnull, "-o", str(stub)]
        )
        made = Path(scratch) / library.file
        _run(
            [
                *command,
                f'-DSHIM_DRIVER="{library.driver}"',
                f"-I{SOURCES}",
                *library.flags,
                *LINKER_FLAGS,
                *flags,
                f"-Wl,-soname,{library.soname}",
                *(str(SOURCES / name) for name in library.sources),
                *map(str, more),
                "-Wl,--no-as-needed",
                str(stub),
                "-Wl,--as-needed",
                "-ldl",
                "-o",
                str(made),
            ]
        )
        # Whole or not at all, and never into a file that a running process has mapped.
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(made, beside)
        beside.replace(target)
    return target


def build_all(folder: Path = BUILT, *, cc: str | None = None) -> list[Path]:
    """Compile every library of ours into a folder."""
    return [build(library, folder, cc=cc) for library in LIBRARIES]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m nodeagent.shim.build", description="Compile the fraction libraries."
    )
    parser.add_argument("folder", nargs="?", type=Path, default=BUILT)
    try:
        for path in build_all(parser.parse_args(arguments).folder):
            print(path)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
