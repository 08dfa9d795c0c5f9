"""Which GPUs of the node reach each other over NVLink."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence

from nodeagent.nvml import NvmlError


def link_groups(linked: Callable[[str, str], bool], gpus: Sequence[str]) -> dict[str, int]:
    """A number for every GPU that is linked to another, the same for all GPUs of a connected component.

    Two GPUs are linked if they can use NVLink for peer-to-peer traffic as the driver sees it now: through a switch
    or a bridge, with a fabric that is up and MIG mode off.

    gpus    UUIDs in NVML's order; a group's number is the position of its first GPU
    linked  whether two are linked; one that cannot be read (NvmlError) is not
    """
    group = {gpu: number for number, gpu in enumerate(gpus)}
    found: set[str] = set()
    for one, other in itertools.combinations(gpus, 2):
        with contextlib.suppress(NvmlError):
            if linked(one, other):
                found |= {one, other}
                first, second = sorted((group[one], group[other]))
                group = {gpu: first if number == second else number for gpu, number in group.items()}
    return {gpu: group[gpu] for gpu in gpus if gpu in found}
