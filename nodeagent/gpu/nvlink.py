"""Which GPUs of the node reach each other over NVLink."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence

from nodeagent.nvml import NvmlError


def link_groups(linked: Callable[[str, str], bool], gpus: Sequence[str]) -> dict[str, int]:
    """A number for every GPU that is joined to another, the same for all that are joined with each other.

    Joined is who can use NVLink for peer-to-peer traffic as the driver sees it now: through a switch or a bridge,
    with a fabric that is up and MIG mode off. Where links make a mesh, the GPUs that hang together are one group.

    gpus    UUIDs in NVML's order, which gives the groups their numbers: a group is called after its first GPU
    linked  whether two are joined; one that cannot be asked (NvmlError) is not
    """
    group = {gpu: number for number, gpu in enumerate(gpus)}
    joined: set[str] = set()
    for one, other in itertools.combinations(gpus, 2):
        with contextlib.suppress(NvmlError):
            if linked(one, other):
                joined |= {one, other}
                first, second = sorted((group[one], group[other]))
                group = {gpu: first if number == second else number for gpu, number in group.items()}
    return {gpu: group[gpu] for gpu in gpus if gpu in joined}
