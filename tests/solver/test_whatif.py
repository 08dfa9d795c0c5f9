"""What if: the edited snapshot is decided like any other, and no edit means no difference."""

from __future__ import annotations

from random import Random

import pytest

from solver.planner import plan
from solver.whatif import SnapshotEdits, compare, edited
from tests.checker import check
from tests.solver.fleets import random_snapshot


@pytest.mark.parametrize("seed", range(30))
def test_no_edit_no_difference(seed: int) -> None:
    snapshot = random_snapshot(Random(seed), gpus=4, pending=8)
    difference = compare(snapshot, SnapshotEdits())
    assert (difference.requests, dict(difference.layouts)) == ((), {})


@pytest.mark.parametrize("seed", range(30))
def test_a_lost_node_makes_its_work_wait_again_and_the_plan_is_sound(seed: int) -> None:
    snapshot = random_snapshot(Random(seed), gpus=4, pending=8)
    lost = snapshot.nodes[0].name
    imagined = edited(snapshot, SnapshotEdits(lost=frozenset({lost})))
    check(imagined, plan(imagined))
    homeless = {h.request.claim for h in snapshot.held if h.grant.node == lost}
    assert homeless <= {request.claim for request in imagined.pending}
    assert all(h.grant.node != lost for h in imagined.held)
