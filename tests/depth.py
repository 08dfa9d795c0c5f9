"""How deep the sweeps go: a sample in `make test`, one of each kind in `make soak-sweeps`, all of it in `make soak`."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import TypeVar

C = TypeVar("C")


class Depth(IntEnum):
    """Value of MIGCTL_DEPTH, in lower case."""

    SAMPLE = 1
    SWEEP = 2
    ALL = 3


DEPTH = Depth[os.environ.get("MIGCTL_DEPTH", "sample").upper()]
THOROUGH = DEPTH is Depth.ALL


def sampled(cases: list[C], one_in: int) -> list[C]:
    """Every `one_in`-th of the cases in a sample, all of them otherwise."""
    return cases[::one_in] if DEPTH is Depth.SAMPLE else cases
