"""A served API over one GPU, and work of another project on it."""

from __future__ import annotations

import pytest

from migctl.objects import Claim, GpuRequest
from tests.migctl.api.v1.conftest import Served
from tests.migctl.cli import scenes

GPU = scenes.gpu("node-a", 0, scenes.A100)


@pytest.fixture
async def one_gpu(served: Served) -> Served:
    """One A100, which nobody holds."""
    await served.behind.create(scenes.node("node-a", GPU))
    await served.settled()
    return served


@pytest.fixture
async def taken(one_gpu: Served) -> tuple[Served, tuple[str, ...]]:
    """The same GPU, held as a whole by team-b; with what only those may read who see team-b."""
    placed = scenes.Placed("node-a", (scenes.mig_share(GPU, "7g.40gb", 0),))
    whole = GpuRequest(devices=1)
    workload = await scenes.workload(one_gpu.behind, "secret", whole, placed, project="team-b", preemptible=False)
    await one_gpu.settled()
    (claim,) = one_gpu.mirror.all(Claim)
    return one_gpu, ("secret", "team-b", claim.meta.uid, workload.meta.uid)
