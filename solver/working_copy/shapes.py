"""What of a request decides where it could go: requests of one shape have the same candidates."""

from __future__ import annotations

from collections.abc import Hashable

from solver.model.demand import Request


def shape(request: Request) -> Hashable:
    return (
        request.demand,
        request.pools,
        tuple(sorted(request.node_selector.items())),
        request.excluded,
        request.refusals,
        request.anti_affinity,
        request.cpu_milli,
        request.memory_mib,
    )
