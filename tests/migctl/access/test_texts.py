"""What decisions wrote of two projects' work, as the members of one of them read it."""

from __future__ import annotations

import pytest

from migctl.access.texts import ANOTHERS, without_others

OWN = "project team-a: allocated 1.00, quota 2.00, fair share 1.00; department research: allocated 1.00, quota 8.00"
THEIRS = "project secret: allocated 3.00, quota unlimited, fair share 3.00; department hidden: allocated 3.00"


RECLAIMED = "0.50 GPUs reclaimed for team-a/x"
TOLD = [
    (f"preempted for secret/job, whose priority is 80; {THEIRS}", "preempted for {}, whose priority is 80"),
    (f"0.50 GPUs reclaimed for secret/job; {OWN}; {THEIRS}", f"0.50 GPUs reclaimed for {{}}; {OWN}"),
    (f"{RECLAIMED}; {THEIRS}; {OWN}", f"{RECLAIMED}; {OWN}"),
    ("moved to node n to make room for secret/job", "moved to node n to make room for {}"),
    (f"room is freed by secret/job: {RECLAIMED}; {THEIRS}; {OWN}", f"room is freed by {{}}: {RECLAIMED}; {OWN}"),
    (f"room is freed by secret/job: project secret; {OWN}", f"room is freed by {{}}; {OWN}"),
    ("evict team-a/x for secret/job: moved within its GPU", "evict team-a/x for {}: moved within its GPU"),
    ("evict secret/job for team-a/x: gone", "evict {} for team-a/x: gone"),
    ("assign team-a/x to node-a/0 2g.10gb@4", "assign team-a/x to node-a/0 2g.10gb@4"),
    ("no GPU has 1 whole GPU free now", "no GPU has 1 whole GPU free now"),
]


@pytest.mark.parametrize(("text", "told"), TOLD)
def test_others_are_not_named(text: str, told: str) -> None:
    assert without_others(text, lambda project: project == "team-a") == told.format(ANOTHERS)
    assert without_others(text, lambda _: True) == text
