"""When a report is due."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodeagent.contract.allocation import Allocation, GpuProcess, NodeReport
from nodeagent.node_status.publication import Publication

REPORT = NodeReport(node="n", boot_id="b", generation=1, gpus=(), models={})
OTHER_PROCESSES = replace(REPORT, processes=(GpuProcess("GPU-1", 1, 10),))
OTHER_HOLDERS = replace(REPORT, allocations=(Allocation("a", "pod", "team-a", "n", ()),))


@pytest.mark.parametrize(
    ("heartbeat_s", "report", "now", "due"),
    [
        pytest.param(20.0, REPORT, 19.9, False, id="nothing differs"),
        pytest.param(20.0, REPORT, 20.0, True, id="the heartbeat"),
        pytest.param(20.0, OTHER_HOLDERS, 0.0, True, id="another holder"),
        pytest.param(20.0, OTHER_PROCESSES, 19.9, False, id="processes alone wait for the heartbeat"),
        pytest.param(None, REPORT, 1e9, False, id="without heartbeats, nothing differs"),
        pytest.param(None, OTHER_PROCESSES, 0.0, True, id="without heartbeats, processes alone"),
    ],
)
def test_a_report_is_due_when_it_differs_or_as_a_heartbeat(
    heartbeat_s: float | None, report: NodeReport, now: float, due: bool
) -> None:
    publication = Publication(heartbeat_s)
    assert publication.is_due(REPORT, 0.0)
    publication.published(REPORT, 0.0)
    assert publication.is_due(report, now) == due


def test_force_makes_one_report_due() -> None:
    publication = Publication(20.0)
    publication.published(REPORT, 0.0)
    publication.force()
    assert publication.is_due(REPORT, 1.0)
    assert not publication.is_due(REPORT, 1.0)


def test_an_older_report_than_one_seen_is_outdated() -> None:
    publication = Publication(20.0)
    assert not publication.is_outdated(replace(REPORT, generation=2))
    assert publication.is_outdated(REPORT)
    assert not publication.is_outdated(replace(REPORT, generation=2))
