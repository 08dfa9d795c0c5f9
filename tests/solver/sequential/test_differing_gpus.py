"""Several devices of one request are of one kind; where a node's GPUs are not, that is the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migctl.reason_text import sentence
from solver.model.demand import Fraction, Memory
from solver.model.reasons import Code
from tests.solver.scenarios import cluster, decide, gpu, refusal, request

WAITING = pytest.mark.parametrize("waiting", [1, 300], ids=["one by one", "in a batch"])


@WAITING
def test_gpus_of_both_mig_modes_do_not_serve_one_request_and_are_named(waiting: int) -> None:
    pending = tuple(request(f"w{number:03}", Fraction(0.5, 2)) for number in range(waiting))
    state = cluster(replace(gpu("a100-40gb", "g0"), mig=False), gpu("h100", "g1", "n0", 1), pending=pending)
    reason = refusal(decide(state), "w000")
    assert reason.code is Code.GPUS_DIFFER
    ways = "n0/0 without MIG mode, n0/1 by 3g.40gb"
    assert sentence(reason) == f"2 x 0.5 GPU needs GPUs that serve it in one way, and these differ: {ways}"


def test_gpus_of_different_profiles_are_named_with_them() -> None:
    wish = request("w", Memory(15000, 2))
    state = cluster(gpu("a100-40gb", "g0"), gpu("h100", "g1", "n0", 1), pending=(wish,))
    reason = refusal(decide(state), "w")
    assert reason.code is Code.GPUS_DIFFER
    assert "n0/0 by 3g.20gb, n0/1 by 2g.20gb" in sentence(reason)
