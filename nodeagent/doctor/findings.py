"""Findings of `migctl doctor`, and the machine that it examines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from nodeagent.nvml import Nvml


class Level(StrEnum):
    """ok; note: fine, but good to know; warning: something will not work; error: nothing will."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """The result of one check. `fix`: what to do, "" where nothing is needed."""

    check: str
    level: Level
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ExaminedMachine:
    """The machine to examine.

    open_nvml  opens the driver's library. Raises LibraryMissing
    state_dir  the agent's directory
    simulated  there are no device nodes
    nodes      the node of each GPU, where one machine simulates several
    root       the file system's root
    """

    open_nvml: Callable[[], Nvml]
    state_dir: Path
    simulated: bool = False
    root: Path = Path("/")
    nodes: tuple[str, ...] = ()

    def gpu_name(self, index: int) -> str:
        """What a GPU is called: by its number on the machine, or on its node."""
        if index >= len(self.nodes):
            return f"gpu {index}"
        return f"{self.nodes[index]}/{self.nodes[:index].count(self.nodes[index])}"
