"""The file that tells the libraries what a workload may use. src/limits.c reads it; any other text makes it refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nodeagent import untrusted

FILE_NAME = "migctl.limits"
HEADER = "migctl limits 1\n"
MAX_GPUS = 16
MAX_PATH = 1023
_MAX_BYTES = 16 * 1024

_UUID = r"GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ROW = re.compile(rf"gpu ({_UUID}) memory (\d+) context (\d+) reserved (\d+)\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class GpuLimit:
    """One GPU's row.

    memory   bytes that all processes of the workload may hold there together
    context  bytes that one CUDA context takes there; it comes out of `memory`
    reserved  bytes that the driver keeps for itself; they come out of `memory` as well
    """

    uuid: str
    memory: int
    context: int
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a workload may use. `region`: its accounts, by the path that its processes see."""

    region: Path
    gpus: tuple[GpuLimit, ...]

    def __post_init__(self) -> None:
        path = str(self.region)
        if not path.startswith("/") or "\n" in path or len(path.encode()) > MAX_PATH:
            raise ValueError(
                f"the region's path must be absolute, on one line and under {MAX_PATH + 1} bytes: {path!r}"
            )
        if not 1 <= len(self.gpus) <= MAX_GPUS or len({gpu.uuid for gpu in self.gpus}) != len(self.gpus):
            raise ValueError(f"limits name 1 to {MAX_GPUS} different GPUs, not {[gpu.uuid for gpu in self.gpus]}")
        for gpu in self.gpus:
            sizes = (gpu.memory, gpu.context, gpu.reserved)
            if not re.fullmatch(_UUID, gpu.uuid) or not all(0 <= size < 2**63 for size in sizes):
                raise ValueError(f"not a GPU's limits: {gpu}")

    def text(self) -> str:
        rows = (
            f"gpu {gpu.uuid} memory {gpu.memory} context {gpu.context} reserved {gpu.reserved}\n" for gpu in self.gpus
        )
        return f"{HEADER}region {self.region}\n{''.join(rows)}"


def read(path: Path) -> Limits:
    """The limits in a file. OSError: cannot be read; ValueError: not written by `Limits.text`."""
    text = untrusted.read(path, _MAX_BYTES).decode()
    head, _, rows = text.removeprefix(f"{HEADER}region ").partition("\n")
    gpus = (GpuLimit(uuid, *map(int, sizes)) for uuid, *sizes in _ROW.findall(rows))
    limits = Limits(Path(head), tuple(gpus))
    if limits.text() != text:
        raise ValueError(f"{path} is damaged")
    return limits
