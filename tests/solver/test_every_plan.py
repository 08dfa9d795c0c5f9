"""Whatever the cluster: the plan is legal, complete, the same each time, and its reasons are true."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from solver.model.reasons import Code, Unplaced
from solver.planner import plan
from tests.checker import check
from tests.solver.fleets import random_snapshot

SIZES = {"rng": st.randoms(use_true_random=False), "gpus": st.integers(1, 6), "pending": st.integers(1, 10)}


@settings(max_examples=150, deadline=None)
@given(**SIZES)
def test_every_plan_is_legal(rng: Random, gpus: int, pending: int) -> None:
    snapshot = random_snapshot(rng, gpus, pending)
    made = plan(snapshot)
    check(snapshot, made)
    assert made.certificate.value <= made.certificate.bound + 1e-9
    assert plan(snapshot).outcomes == made.outcomes


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_blockers_are_true(rng: Random, gpus: int, pending: int) -> None:
    """Once the named claims have gone, a request of its own finds a place."""
    snapshot = replace(random_snapshot(rng, gpus, pending), pending=())
    for wish in random_snapshot(rng, gpus, pending).pending:
        alone = replace(wish, gang=None, project="team-a", anti_affinity=None, cpu_milli=0, preemptible=True)
        outcome = plan(replace(snapshot, pending=(alone,))).outcomes[alone.claim]
        if isinstance(outcome, Unplaced) and outcome.blockers and outcome.code is not Code.OVER_LIMIT:
            gone = set(outcome.blockers.claims)
            left = tuple(h for h in snapshot.held if h.request.claim not in gone)
            cleared = tuple(
                replace(
                    gpu,
                    instances=tuple(i for i in gpu.instances if i.claim not in gone),
                    parts=tuple(p for p in gpu.parts if p.claim not in gone),
                )
                for gpu in snapshot.gpus
            )
            after = plan(replace(snapshot, gpus=cleared, held=left, pending=(alone,)))
            assert not isinstance(after.outcomes[alone.claim], Unplaced)
