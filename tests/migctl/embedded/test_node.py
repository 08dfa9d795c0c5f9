"""The node object says what the agent sees, and nothing of what it saw before."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from migctl.backends.mirror import Mirror
from migctl.embedded.node import NodePublisher
from migctl.objects import GpuNode
from nodeagent.contract.allocation import NodeReport
from solver.model import catalog
from tests.fakes.control_plane import ManualClock, MemoryControlPlane

pytestmark = pytest.mark.anyio


@dataclass
class Agent:
    seen: NodeReport

    def report(self) -> NodeReport:
        return self.seen


async def test_notes_and_models_that_went_are_gone_from_the_node() -> None:
    a100 = catalog.find("a100-40gb")
    before = NodeReport("node-a", "boot", 1, (), {a100.id: a100}, notes={"GPU-1": "quarantined"})
    after = NodeReport("node-a", "boot", 2, (), {})
    control_plane, agent = MemoryControlPlane(), Agent(before)
    publisher = NodePublisher(control_plane, Mirror(control_plane), agent, ManualClock())
    await publisher.publish()
    assert (await control_plane.get(GpuNode, "node-a")).status.report == before
    agent.seen = after
    await publisher.publish()
    node = await control_plane.get(GpuNode, "node-a")
    assert node.status.report == after
    assert node.status.ready
