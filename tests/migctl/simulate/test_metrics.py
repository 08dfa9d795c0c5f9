"""Figures of a small story, worked out by hand."""

from __future__ import annotations

import pytest

from migctl.simulate.events import Arrival
from migctl.simulate.fleet import PROJECT, parse
from migctl.simulate.loop import play
from migctl.simulate.policies import schedulers
from migctl.simulate.results.metrics import measure
from migctl.simulate.results.report import COLUMNS, as_csv
from solver.model.demand import MigProfile, Request

FLEET = parse("a100-40gb=2")


def _arrivals(*demands: tuple[float, str, float]) -> list[Arrival]:
    names = (f"c{number}" for number in range(len(demands)))
    return [
        Arrival(at, Request(name, name, PROJECT, MigProfile(profile), created=at), lasts)
        for name, (at, profile, lasts) in zip(names, demands, strict=True)
    ]


def test_a_day_of_two_gpus() -> None:
    demands = [(0, "7g.40gb", 10), (0, "4g.20gb", 40), (5, "7g.40gb", 1), (10, "7g.40gb", 10), (20, "2g.10gb", 1)]
    arrivals = _arrivals(*demands)
    result = measure("first-fit", FLEET, play(arrivals, schedulers(FLEET, arrivals)["first-fit"]()), len(arrivals))
    assert (result.arrivals, result.admitted, result.unserved) == (5, 4, 1)
    assert result.requests == pytest.approx(4 / 5)
    assert result.slices == pytest.approx((7 + 4 + 7 + 2) / (7 + 4 + 7 + 7 + 2))
    assert result.utilisation == pytest.approx((7 + 4) / 14)
    assert result.idle_gpus == 0.0
    assert result.used_at_end == pytest.approx(6 / 14)
    assert result.idle_at_end == 0
    assert result.fragmented == 0
    assert (result.creates, result.destroys, result.moves) == (3, 1, 0)
    assert result.by_size == {"2g.10gb": (1, 1), "4g.20gb": (1, 1), "7g.40gb": (3, 2)}


def test_a_refusal_counts_as_fragmented_where_the_sum_of_free_room_would_do() -> None:
    """The first refused 7g meets 9 free slices on two GPUs, the second one 6."""
    demands = [(0, "7g.40gb", 2), (1, "1g.5gb", 99), (3, "4g.20gb", 99), (4, "7g.40gb", 1), (5, "3g.20gb", 99)]
    arrivals = _arrivals(*demands, (6, "7g.40gb", 1))
    result = measure("dra", FLEET, play(arrivals, schedulers(FLEET, arrivals)["dra"]()), len(arrivals))
    assert (result.unserved, result.fragmented) == (2, 1)


def test_waiting_is_from_arrival_to_admission() -> None:
    arrivals = _arrivals((0, "7g.40gb", 10), (0, "7g.40gb", 30), (4, "7g.40gb", 10), (6, "7g.40gb", 10))
    result = measure("dra", FLEET, play(arrivals, schedulers(FLEET, arrivals)["dra"](), queue=True), len(arrivals))
    assert result.waiting == pytest.approx((0 + 0 + 6 + 14) / 4)
    assert result.waiting_p95 == 14
    assert result.unserved == 0


def test_csv_has_a_line_for_each_policy() -> None:
    arrivals = _arrivals((0, "7g.40gb", 10))
    results = [measure(name, FLEET, play(arrivals, make()), 1) for name, make in schedulers(FLEET, arrivals).items()]
    lines = as_csv(results).splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[0].startswith("policy,arrivals,admitted,requests,slices,utilisation,idle_gpus,waiting")
    assert len(lines) == 1 + len(results)
