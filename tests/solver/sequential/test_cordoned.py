"""Cordoned nodes: nothing new goes there, what runs there stays, and reasons name them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migctl.reason_text import sentence, summary
from solver.model.cluster import Node, SharedPart
from solver.model.demand import Fraction, WholeGpus
from solver.model.reasons import Code
from solver.model.snapshot import Snapshot
from tests.solver.scenarios import cluster, decide, gpu, refusal, request, shares

OPEN, CLOSED = Node("n0"), Node("n1", ready=False, cordoned=True)
NUMBERS = pytest.mark.parametrize("waiting", [1, 300], ids=["one by one", "in a batch"])


def two(waiting: int, *, full: bool) -> Snapshot:
    """n0 (open, in use or not there) and n1 (cordoned, empty), and requests for half a GPU."""
    first, second = gpu("v100", "g0", "n0"), gpu("v100", "g1", "n1")
    pending = tuple(request(f"w{number:03}", Fraction(0.5)) for number in range(waiting))
    if not full:
        return cluster(second, nodes=(CLOSED,), pending=pending)
    held = tuple(shares(request(f"h{i}", Fraction(0.5)), first, 0.5) for i in range(2))
    parts = tuple(SharedPart(f"h{i}", 0.5, first.memory_mib // 2) for i in range(2))
    return cluster(replace(first, parts=parts), second, nodes=(OPEN, CLOSED), pending=pending, held=held)


@NUMBERS
def test_a_cordoned_node_is_the_reason_where_there_is_no_other(waiting: int) -> None:
    reason = refusal(decide(two(waiting, full=False)), "w000")
    assert reason.code is Code.NO_MATCHING_NODE
    assert sentence(reason) == summary(reason) == "no node may run it: n1 is cordoned"


@NUMBERS
def test_a_cordoned_node_is_named_beside_what_is_in_the_way(waiting: int) -> None:
    reason = refusal(decide(two(waiting, full=True)), "w000")
    assert reason.cordoned == ("n1",)
    assert "n1 could serve it and is cordoned" in sentence(reason)
    assert summary(reason) == "no GPU has 0.5 GPU free now; n1 could serve it and is cordoned"


def test_a_cordoned_node_that_could_never_serve_it_is_not_named() -> None:
    state = two(1, full=True)
    for wish in (request("w", WholeGpus(2)), request("w", Fraction(0.5), excluded=frozenset({"n1"}))):
        assert not refusal(decide(replace(state, pending=(wish,))), "w").cordoned
