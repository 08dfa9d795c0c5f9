"""The event loop under every policy: what the hardware allows, in order, the same each time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migctl.simulate.demand.generated import MIXES, DemandMix
from migctl.simulate.events import Admission, Arrival, SimulationEvent, SimulationEventKind
from migctl.simulate.fleet import PROJECT, parse
from migctl.simulate.loop import play
from migctl.simulate.policies import BOUND, MIGCTL, schedulers
from solver.model.demand import Demand, MigProfile, Request
from tests.migctl.simulate.judge import judged

FLEET = parse("a100-40gb=3")
POLICIES = [name for name in schedulers(FLEET, ()) if name != BOUND]


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), mix=st.sampled_from(sorted(MIXES)), queue=st.booleans())
def test_no_gpu_ever_holds_more_than_it_can(policy: str, seed: int, mix: str, queue: bool) -> None:
    arrivals = tuple(DemandMix(mix, 1.3, 60, seed).on(FLEET))
    events = list(judged(FLEET, play(arrivals, schedulers(FLEET, arrivals)[policy](), queue)))
    assert events == list(play(arrivals, schedulers(FLEET, arrivals)[policy](), queue))
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert {event.number for event in events} == set(range(60))


def test_two_models_serve_their_own_profiles() -> None:
    fleet = parse("a100-40gb=2,a30=2")
    arrivals = tuple(DemandMix("uniform", 1.0, 200, 1).on(fleet))
    for make in schedulers(fleet, arrivals).values():
        events = list(judged(fleet, play(arrivals, make())))
        assert any(event.kind is SimulationEventKind.REFUSED for event in events)


def test_everybody_meets_the_same_arrivals() -> None:
    arrivals = tuple(DemandMix("bimodal", 1.0, 100, 5).on(FLEET))
    assert arrivals == tuple(DemandMix("bimodal", 1.0, 100, 5).on(FLEET))
    assert arrivals != tuple(DemandMix("bimodal", 1.0, 100, 6).on(FLEET))
    for make in schedulers(FLEET, arrivals).values():
        met = [e.arrival for e in play(arrivals, make()) if e.kind is not SimulationEventKind.ENDED]
        assert met == list(arrivals)


def _arrival(number: int, at: float, profile: str, lasts: float = 10.0) -> Arrival:
    demand: Demand = MigProfile(profile)
    return Arrival(at, Request(f"c{number}", f"c{number}", PROJECT, demand, created=at), lasts)


def _story(events: Sequence[SimulationEvent]) -> list[tuple[float, SimulationEventKind, int]]:
    return [(event.at, event.kind, event.number) for event in events]


def test_who_finds_no_room_leaves() -> None:
    fleet = parse("a100-40gb=1")
    arrivals = [_arrival(0, 0.0, "7g.40gb"), _arrival(1, 5.0, "1g.5gb"), _arrival(2, 10.0, "1g.5gb")]
    assert _story(list(play(arrivals, schedulers(fleet, arrivals)[MIGCTL]()))) == [
        (0.0, SimulationEventKind.ADMITTED, 0),
        (5.0, SimulationEventKind.REFUSED, 1),
        (10.0, SimulationEventKind.ENDED, 0),
        (10.0, SimulationEventKind.ADMITTED, 2),
        (20.0, SimulationEventKind.ENDED, 2),
    ]


def test_who_waits_is_served_in_order_and_smaller_ones_do_not_wait_for_larger_ones() -> None:
    fleet = parse("a100-40gb=1")
    arrivals = [
        _arrival(0, 0.0, "4g.20gb", lasts=6.0),
        _arrival(1, 1.0, "7g.40gb"),
        _arrival(2, 2.0, "4g.20gb"),
        _arrival(3, 3.0, "3g.20gb", lasts=4.0),
        _arrival(4, 4.0, "4g.20gb"),
    ]
    assert _story(list(play(arrivals, schedulers(fleet, arrivals)[MIGCTL](), queue=True))) == [
        (0.0, SimulationEventKind.ADMITTED, 0),
        (1.0, SimulationEventKind.WAITS, 1),
        (2.0, SimulationEventKind.WAITS, 2),
        (3.0, SimulationEventKind.ADMITTED, 3),
        (4.0, SimulationEventKind.WAITS, 4),
        (6.0, SimulationEventKind.ENDED, 0),
        (6.0, SimulationEventKind.ADMITTED, 2),
        (7.0, SimulationEventKind.ENDED, 3),
        (16.0, SimulationEventKind.ENDED, 2),
        (16.0, SimulationEventKind.ADMITTED, 1),
        (26.0, SimulationEventKind.ENDED, 1),
        (26.0, SimulationEventKind.ADMITTED, 4),
        (36.0, SimulationEventKind.ENDED, 4),
    ]


class _Slots:
    """A scheduler with room for so many requests of any size."""

    def __init__(self, places: int) -> None:
        self.free = places

    def admit(self, request: Request, now: float) -> Admission | None:
        if not self.free:
            return None
        self.free -= 1
        return Admission()

    def release(self, claim: str) -> None:
        self.free += 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 10)), max_size=40), st.integers(1, 3))
def test_those_who_ask_for_the_same_start_in_the_order_of_arrival(
    times: list[tuple[float, float]], places: int
) -> None:
    arrivals = [_arrival(i, at, "1g.5gb", lasts) for i, (at, lasts) in enumerate(sorted(times))]
    events = play(arrivals, _Slots(places), queue=True)
    assert [event.number for event in events if event.kind is SimulationEventKind.ADMITTED] == list(
        range(len(arrivals))
    )


def test_those_who_stay_for_ever_do_not_leave() -> None:
    arrivals = [_arrival(0, 0.0, "7g.40gb", math.inf)]
    fleet = parse("a100-40gb=1")
    assert _story(list(play(arrivals, schedulers(fleet, arrivals)[MIGCTL]()))) == [
        (0.0, SimulationEventKind.ADMITTED, 0)
    ]


def test_load_is_the_room_that_is_asked_for() -> None:
    for mix in MIXES:
        fleet = parse("a100-40gb=10")
        arrivals = list(DemandMix(mix, 0.7, 4000, 3).on(fleet))
        requested = sum(fleet.size(arrival.request.demand).room * arrival.lasts for arrival in arrivals)
        assert requested / arrivals[-1].at / 10 == pytest.approx(0.7, rel=0.1)
