"""Compiles what the tests need, once per test run: the libraries, variants of them, the stand-ins, C programs."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.shim import libraries
from nodeagent.shim.build import LIBRARIES, build, compiler
from nodeagent.shim.libraries import Libraries

HERE = Path(__file__).parents[1]
FLAGS = ("-std=gnu11", "-O1", "-g", "-fPIC", "-Wall", "-Wextra", "-Werror")
CUDA_SOURCES = ("machine.c", "context.c", "memory.c", "vmm.c", "pools.c", "proc.c")
NVML_SOURCES = ("machine.c", "nvml.c")


@dataclass(frozen=True)
class Toolchain:
    """A folder of compiled things. Workers of one test run share it; each thing is made by whoever needs it first."""

    folder: Path

    def ours(
        self, variant: str = "plain", flags: Sequence[str] = (), more: Sequence[Path] = (), *, gated: bool = False
    ) -> Libraries:
        """The libraries under test, compiled with more flags and sources."""
        folder = self.folder / f"ours-{variant}"
        with self._once(folder) as missing:
            if missing:
                for library in LIBRARIES:
                    build(library, folder, flags=flags, more=more)
        return libraries.ours(folder, gated=gated)

    def standins(self, variant: str = "plain", flags: Sequence[str] = ()) -> Libraries:
        """The stand-in driver's libraries. They call themselves, not the shim: -Bsymbolic, as the real ones do."""
        folder = self.folder / f"standins-{variant}"
        found = Libraries(folder / "libcuda.so.999", folder / "libnvidia-ml.so.999")
        with self._once(folder) as missing:
            if missing:
                for path, soname, sources in (
                    (found.cuda, "libcuda.so.1", CUDA_SOURCES),
                    (found.nvml, "libnvidia-ml.so.1", NVML_SOURCES),
                ):
                    self._compile(
                        path,
                        [HERE / "standin" / source for source in sources],
                        ["-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic", f"-Wl,-soname,{soname}", *flags],
                    )
        return found

    def program(self, source: str, variant: str = "plain", flags: Sequence[str] = ()) -> Path:
        """A C program of this folder."""
        path = self.folder / f"{source}-{variant}" / "program"
        with self._once(path.parent) as missing:
            if missing:
                self._compile(path, [HERE / "programs" / source], [*flags, "-ldl", "-lpthread"])
        return path

    def _once(self, folder: Path) -> _Once:
        return _Once(folder)

    def _compile(self, target: Path, sources: Sequence[Path], flags: Sequence[str]) -> None:
        command = [*compiler().split(), *FLAGS, *map(str, sources), *flags, "-o", str(target)]
        subprocess.run(command, check=True)


class _Once:
    """Whether a folder is still to be filled, while nobody else fills it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return not (self._folder / "done").exists()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            (self._folder / "done").touch()
        self._lock.close()
