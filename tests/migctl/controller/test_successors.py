"""Whoever is moved gets the place that was kept for him, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace as changed

from migctl.controller.kubernetes.successors import KEPT_S, Successors
from migctl.objects import Claim, ClaimSpec, ClaimStatus, GpuRequest, Meta, Phase
from solver.model.demand import Fraction, Grant, Request
from solver.model.snapshot import Snapshot
from tests.solver.scenarios import cluster, gpu, request, shares

NOW = datetime(2030, 1, 1, tzinfo=UTC)
CARDS = [gpu("v100", f"g{i}", f"n{i}", 0) for i in range(2)]
PLACE: Grant = shares(request("x", Fraction(0.5)), CARDS[1], 0.5).grant


def claim(uid: str, **status: object) -> Claim:
    spec = ClaimSpec(workload="w", workload_uid="job", gpu_request=GpuRequest(fraction=0.5))
    return Claim(meta=Meta(name=uid, project="team-a", uid=uid), spec=spec, status=ClaimStatus(**status))  # type: ignore[arg-type]


def leaving(uid: str) -> Claim:
    one = claim(uid, phase=Phase.TERMINATING, nomination=PLACE)
    return changed(one, meta=changed(one.meta, deleting=NOW))


def seen(*waiting: str, after_s: float = 0.0) -> Snapshot:
    pending: tuple[Request, ...] = tuple(request(uid, Fraction(0.5)) for uid in waiting)
    return replace(cluster(*CARDS, pending=pending), now=(NOW + timedelta(seconds=after_s)).timestamp())


def nominated(state: Snapshot) -> dict[str, Grant | None]:
    return {r.claim: r.nominated for r in state.pending}


def test_a_pod_that_was_gone_at_once_is_followed_by_the_one_that_has_its_place() -> None:
    """Nobody saw it leave: its place went to whoever was planned first."""
    successors = Successors()
    successors.promise(claim("old"), PLACE)
    empty = successors.applied(seen(), [])
    assert [h.grant for h in empty.held] == [PLACE]
    heir = successors.applied(seen("new", after_s=1), [claim("new")])
    assert nominated(heir) == {"new": PLACE}
    assert not heir.held


def test_what_leaves_is_seen_by_a_controller_that_has_just_started() -> None:
    successors = Successors()
    successors.applied(seen(), [leaving("old")])
    assert nominated(successors.applied(seen("new", after_s=1), [claim("new")])) == {"new": PLACE}


def test_of_two_that_follow_one_has_the_place_and_keeps_it() -> None:
    successors = Successors()
    successors.promise(claim("old"), PLACE)
    both = [claim("one"), claim("two")]
    first = nominated(successors.applied(seen("one", "two"), both))
    assert sorted(first.values(), key=str) == sorted([PLACE, None], key=str)
    assert nominated(successors.applied(seen("two", "one", after_s=1), both[::-1])) == first


def test_a_place_is_not_kept_once_it_is_taken_or_for_ever() -> None:
    successors = Successors()
    successors.promise(claim("old"), PLACE)
    successors.applied(seen("new"), [claim("new")])
    running = claim("new", phase=Phase.RUNNING, allocation=PLACE)
    assert successors.applied(seen(after_s=1), [running]) == seen(after_s=1)
    assert nominated(successors.applied(seen("next", after_s=2), [running, claim("next")])) == {"next": None}
    successors.promise(claim("other"), PLACE)
    assert successors.applied(seen(after_s=2), []).held
    assert not successors.applied(seen(after_s=3 + KEPT_S), []).held


def test_another_workload_does_not_inherit() -> None:
    successors = Successors()
    successors.promise(claim("old"), PLACE)
    stranger = claim("new")
    stranger = changed(stranger, spec=changed(stranger.spec, workload_uid="other"))
    state = successors.applied(seen("new"), [stranger])
    assert nominated(state) == {"new": None}
    assert len(state.held) == 1
