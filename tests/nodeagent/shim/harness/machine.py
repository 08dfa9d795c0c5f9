"""A machine with stand-in GPUs, shares of them, and processes that run in a share or beside it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast
from uuid import UUID

from nodeagent.shim import limits, placing
from nodeagent.shim.libraries import Libraries
from nodeagent.shim.limits import GpuLimit, Limits

HERE = Path(__file__).parents[1]
MIB = 1 << 20
GIB = 1 << 30
SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED, NOT_FOUND, REFUSED = 0, 1, 2, 3, 500, 999
FRAGMENTED_POOLS, WIDE_PITCH, REFUSE, NARROW_PITCH = 1, 2, 4, 8  # knobs of standin/machine.h
RTLD_NOW, RTLD_DEEPBIND = 2, 8


@dataclass(frozen=True)
class StandinGpu:
    """A GPU of the machine: bytes of memory, and of what one context takes there."""

    uuid: str
    memory: int = 16 * GIB
    context: int = 0


def gpu_uuid(number: int) -> str:
    """UUIDs whose order is not the order of the numbers."""
    return f"GPU-{UUID(int=(0x9E3779B97F4A7C15F39CC0605CEDC835 * (number + 1)) % 2**128)}"


@dataclass
class Machine:
    """GPUs and their driver's libraries, in a folder of their own."""

    folder: Path
    gpus: tuple[StandinGpu, ...]
    drivers: Libraries
    tool: ctypes.CDLL

    @classmethod
    def make(
        cls,
        folder: Path,
        standins: Libraries,
        gpus: Sequence[StandinGpu],
        knobs: int = 0,
        tool: Path | None = None,
    ) -> Machine:
        """`tool`: the stand-in that the tests themselves load, where that is another build."""
        folder.mkdir(parents=True)
        drivers = Libraries(folder / standins.cuda.name, folder / standins.nvml.name)
        shutil.copy(standins.cuda, drivers.cuda)
        shutil.copy(standins.nvml, drivers.nvml)
        loaded = ctypes.CDLL(str(tool or standins.cuda))
        count = len(gpus)
        made = loaded.standin_create(
            str(folder / "machine").encode(),
            count,
            b"".join(UUID(gpu.uuid.removeprefix("GPU-")).bytes for gpu in gpus),
            (ctypes.c_uint64 * count)(*(gpu.memory for gpu in gpus)),
            (ctypes.c_uint64 * count)(*(gpu.context for gpu in gpus)),
            knobs,
        )
        assert made == 0
        return cls(folder, tuple(gpus), drivers, loaded)

    def held(self, gpu: int = 0) -> int:
        """The truth: bytes that live processes really hold on a GPU."""
        return self._look(gpu)[0]

    def peak(self, gpu: int = 0) -> int:
        """The most that was ever held there at once."""
        return self._look(gpu)[1]

    def set_knobs(self, knobs: int) -> None:
        """Change how the drivers behave, in running programs too."""
        assert self.tool.standin_set_knobs(str(self.folder / "machine").encode(), knobs) == 0

    def _look(self, gpu: int) -> tuple[int, int]:
        held, peak = ctypes.c_uint64(), ctypes.c_uint64()
        path = str(self.folder / "machine").encode()
        assert self.tool.standin_look(path, gpu, ctypes.byref(held), ctypes.byref(peak)) == 0
        return held.value, peak.value

    def beside(self) -> Share:
        """No share at all: a program that finds the driver itself."""
        libraries = self.folder / "native"
        if not libraries.exists():
            libraries.mkdir()
            (libraries / "libcuda.so.1").symlink_to(self.drivers.cuda)
            (libraries / "libnvidia-ml.so.1").symlink_to(self.drivers.nvml)
        return Share(self.folder, libraries)

    def share(self, name: str, ours: Libraries, memory: int | Mapping[int, int]) -> Share:
        """A share of bytes on GPU 0, or of bytes by GPU number."""
        wanted = memory if isinstance(memory, Mapping) else {0: memory}
        told = [GpuLimit(self.gpus[n].uuid, size, self.gpus[n].context) for n, size in wanted.items()]
        folder = self.folder / name
        placing.place(folder, told, ours, self.drivers)
        return Share(folder, folder / "lib")


@dataclass
class Share:
    """What a workload has: a folder with its region, and the libraries that it finds first."""

    folder: Path
    libraries: Path

    @property
    def region(self) -> Path:
        return placing.accounts(self.folder)

    @property
    def limits(self) -> Path:
        return self.libraries / "migctl.limits"

    def read_limits(self) -> Limits:
        return limits.read(self.limits)

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(self.libraries), **more}

    def scribble(self, offset: int, content: bytes) -> None:
        """Write into the region as a program gone wild does."""
        with self.region.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    @contextlib.contextmanager
    def start(
        self, environment: Mapping[str, str] | None = None, *, library: str = "libcuda.so.1", mode: int = RTLD_NOW
    ) -> Iterator[Program]:
        """A program in this share, ended with SIGKILL where it has not ended by itself."""
        command = [sys.executable, "-I", "-S", str(HERE / "harness" / "client.py"), library, str(mode)]
        process = subprocess.Popen(
            command,
            env=self.environment(**environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            ready = cast(IO[str], process.stdout).readline()
            assert ready == "ready\n", cast(IO[str], process.stderr).read()
            yield Program(process)
        finally:
            process.kill()
            process.communicate()

    @contextlib.contextmanager
    def cuda(self, device: int = 0, **environment: str) -> Iterator[Program]:
        """A program with the primary context of a device."""
        with self.start(environment) as program:
            program.begin(device)
            yield program


@dataclass
class Program:
    """A running client.py."""

    process: subprocess.Popen[str]
    last_out: list[int] = field(default_factory=list)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = cast(IO[str], self.process.stdin), cast(IO[str], self.process.stdout)
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise ProgramEnded(self.process.wait())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def call(self, function: str | int, *arguments: Any) -> int:
        """A function's result; what it wrote through its "out" arguments is in `last_out`."""
        answer = self.ask({"call": function, "args": list(arguments)})
        self.last_out = answer["out"]
        result: int = answer["code"]
        return result

    def ok(self, function: str | int, *arguments: Any) -> int:
        """The first number that a call wrote, which must succeed."""
        assert self.call(function, *arguments) == SUCCESS, (function, arguments)
        return self.last_out[0] if self.last_out else 0

    def struct(self, function: str, *arguments: Any, form: str, given: Sequence[int] | None = None) -> tuple[int, ...]:
        """What a call that must succeed left in a structure, its last argument."""
        fields = given or [0] * len(struct.unpack(form, bytes(struct.calcsize(form))))
        answer = self.ask({"call": function, "args": [*arguments, {"bytes": struct.pack(form, *fields).hex()}]})
        assert answer["code"] == SUCCESS
        return struct.unpack(form, bytes.fromhex(answer["buffers"][0]))

    def begin(self, device: int = 0) -> None:
        self.ok("cuInit", 0)
        self.ok("cuCtxSetCurrent", self.ok("cuDevicePrimaryCtxRetain", "out", device))

    def resolve(
        self, name: str, version: int = 13000, flags: int = 0, by: str = "cuGetProcAddress_v2"
    ) -> dict[str, Any]:
        return self.ask({"resolve": name, "version": version, "flags": flags, "by": by})

    def end(self) -> str:
        """Let it end by itself; what it wrote to stderr."""
        _, errors = self.process.communicate()
        return errors


class ProgramEnded(Exception):
    """The program is gone. The argument is its exit status, negative for a signal."""
