"""The division: worked cases, and properties that hold for every division."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.model.snapshot import Quota
from solver.quota.fair_share import Group, Queue, divide, divide_top_down

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/fair_share_vectors.json").read_text())["cases"]
SEVENTH = 1 / 7


def _queue(row: dict[str, Any], unit: float) -> Queue:
    limit = row["limit"] if row["limit"] < 0 else row["limit"] * unit
    quota = Quota(row["deserved"] * unit, limit, row["w"], row["prio"])
    return Queue(row["id"], row["request"] * unit, quota, row["created"])


@pytest.mark.parametrize("unit", [1.0, SEVENTH], ids=["in GPUs", "in sevenths"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_worked_case(case: dict[str, Any], unit: float) -> None:
    shares = divide(case["total"] * unit, [_queue(row, unit) for row in case["queues"]], grain=unit)
    assert shares == pytest.approx({name: gpus * unit for name, gpus in case["expect"].items()})
    assert case["total"] * unit - sum(shares.values()) == pytest.approx(case["remaining"] * unit)


def test_leftover_goes_to_the_oldest_then_to_the_first_by_name() -> None:
    young, old, also_old = (Queue(n, 5, Quota(weight=1), created) for n, created in [("a", 9), ("c", 1), ("b", 1)])
    assert divide(1, [young, old, also_old]) == {"a": 0, "b": 1, "c": 0}
    assert divide(2, [young, old, also_old]) == {"a": 0, "b": 1, "c": 1}
    assert divide(1, [young, old]) == {"a": 0, "c": 1}


def test_quotas_beyond_the_pool_are_filled_in_proportion_to_the_quotas() -> None:
    large, small = Queue("large", 9, Quota(6)), Queue("small", 9, Quota(2))
    assert divide(4, [large, small]) == {"large": 3, "small": 1}


def test_an_unlimited_quota_takes_what_it_wants_before_any_surplus() -> None:
    unlimited, other = Queue("all", 3, Quota(-1)), Queue("some", 4, Quota(0, weight=3))
    assert divide(4, [unlimited, other]) == {"all": 3, "some": 1}


def test_part_of_a_gpu_is_left_over_where_somebody_wants_only_a_part() -> None:
    half, many = Queue("half", 0.5, Quota(weight=1)), Queue("many", 8, Quota(weight=1))
    assert divide(4, [half, many]) == {"half": 0.5, "many": 3.5}


def test_departments_share_first_and_projects_inside_them() -> None:
    rich = Group("rich", Quota(6), (Queue("r1", 9, Quota(4)), Queue("r2", 9, Quota(2))))
    poor = Group("poor", Quota(4), (Queue("p1", 9, Quota(0, weight=1)), Queue("p2", 9, Quota(0, weight=3))))
    departments, projects = divide_top_down(10, [rich, poor], [])
    assert departments == {"rich": 6, "poor": 4}
    assert projects == {"r1": 4, "r2": 2, "p1": 1, "p2": 3}


def test_what_a_department_leaves_goes_to_others_and_its_limit_binds_its_projects() -> None:
    idle = Group("idle", Quota(6), (Queue("i1", 1, Quota(6)),))
    bounded = Group("bounded", Quota(2, limit=4), (Queue("b1", 9, Quota(1)), Queue("b2", 9, Quota(1))))
    alone = Queue("alone", 9, Quota(0, weight=1))
    departments, projects = divide_top_down(8, [idle, bounded], [alone])
    assert departments == {"idle": 1, "bounded": 4}
    assert projects == {"i1": 1, "b1": 2, "b2": 2, "alone": 3}


def test_a_department_and_a_project_of_one_name_are_two_queues() -> None:
    group = Group("ml", Quota(2), (Queue("ml", 4, Quota(1)),))
    assert divide_top_down(4, [group], []) == ({"ml": 4}, {"ml": 4})


GRAINS = [1.0, 0.25, SEVENTH]
tenths = st.integers(0, 120).map(lambda n: n / 10)
queue_sets = st.lists(
    st.builds(
        Queue,
        name=st.just(""),
        want=tenths,
        quota=st.builds(
            Quota,
            quota=st.one_of(st.just(-1.0), tenths),
            limit=st.one_of(st.just(-1.0), tenths),
            weight=st.sampled_from([0.0, 1.0, 2.0, 3.0]),
            priority=st.integers(0, 2),
        ),
        created=st.integers(0, 2).map(float),
    ),
    min_size=1,
    max_size=7,
).map(lambda queues: [replace(queue, name=f"q{i}") for i, queue in enumerate(queues)])
totals = st.integers(0, 240).map(lambda n: n / 10)
CLOSE = 1e-5


@given(totals, queue_sets, st.sampled_from(GRAINS))
def test_nobody_gets_more_than_it_can_use_and_all_together_at_most_the_total(
    total: float, queues: list[Queue], grain: float
) -> None:
    shares = divide(total, queues, grain)
    assert sum(shares.values()) <= total + CLOSE
    assert all(0 <= shares[q.name] <= q.reach + CLOSE for q in queues)


@given(totals, queue_sets, st.sampled_from(GRAINS))
def test_nothing_is_left_while_somebody_with_a_weight_wants_more(
    total: float, queues: list[Queue], grain: float
) -> None:
    shares = divide(total, queues, grain)
    hungry = any(shares[q.name] < q.reach - CLOSE and q.quota.weight > 0 for q in queues)
    assert not hungry or sum(shares.values()) >= total - CLOSE


@given(totals, queue_sets, st.sampled_from(GRAINS))
def test_quotas_come_first(total: float, queues: list[Queue], grain: float) -> None:
    shares = divide(total, queues, grain)
    due = {q.name: min(q.reach, q.quota.quota) if q.quota.quota >= 0 else q.reach for q in queues}
    if sum(due.values()) <= total:
        assert all(shares[name] >= gpus - CLOSE for name, gpus in due.items())
    else:
        assert all(shares[name] <= gpus + CLOSE for name, gpus in due.items())


@given(totals, queue_sets, st.sampled_from(GRAINS), st.data())
def test_a_larger_weight_never_gives_less(total: float, queues: list[Queue], grain: float, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(queues) - 1))
    chosen = queues[position]
    heavier = replace(chosen, quota=replace(chosen.quota, weight=chosen.quota.weight + 1))
    changed = [*queues[:position], heavier, *queues[position + 1 :]]
    assert divide(total, changed, grain)[chosen.name] >= divide(total, queues, grain)[chosen.name] - CLOSE


@given(totals, queue_sets, st.sampled_from(GRAINS), st.randoms())
def test_the_order_of_queues_does_not_matter(total: float, queues: list[Queue], grain: float, random: Any) -> None:
    shuffled = list(queues)
    random.shuffle(shuffled)
    assert divide(total, shuffled, grain) == divide(total, queues, grain)


@given(totals, queue_sets, st.sampled_from(GRAINS))
def test_a_higher_priority_is_full_before_a_lower_one_gets_surplus(
    total: float, queues: list[Queue], grain: float
) -> None:
    shares = divide(total, queues, grain)
    due = {q.name: min(q.reach, q.quota.quota) if q.quota.quota >= 0 else q.reach for q in queues}
    for high, low in itertools.permutations(queues, 2):
        waits = shares[high.name] < high.reach - CLOSE and high.quota.weight > 0
        if high.quota.priority > low.quota.priority and waits:
            assert shares[low.name] <= due[low.name] + CLOSE


@given(
    st.integers(0, 12),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=4),
)
def test_surplus_equals_brute_force_water_filling(total: int, rows: list[tuple[int, int, int]]) -> None:
    queues = [Queue(f"q{i}", want, Quota(weight=w), created) for i, (want, w, created) in enumerate(rows)]
    assert divide(total, queues) == _nearest_whole_division(total, queues)


def _water_level(total: int, queues: Sequence[Queue]) -> dict[str, Fraction]:
    """The one even filling: try every set of queues that could be full."""
    if sum(q.want for q in queues) <= total:
        return {q.name: Fraction(q.want) for q in queues}
    for full in itertools.product([True, False], repeat=len(queues)):
        rest = [q for q, met in zip(queues, full, strict=True) if not met]
        left = total - sum(Fraction(q.want) for q in queues if q not in rest)
        if not rest or left < 0:
            continue
        level = Fraction(left) / sum(Fraction(q.quota.weight) for q in rest)
        if all((q.want <= level * Fraction(q.quota.weight)) == (q not in rest) for q in queues):
            return {q.name: min(Fraction(q.want), level * Fraction(q.quota.weight)) for q in queues}
    raise AssertionError("a water level always exists")


def _whole_divisions(total: int, queues: Sequence[Queue]) -> Iterator[tuple[int, ...]]:
    most = min(total, int(sum(q.want for q in queues)))
    return (x for x in itertools.product(*(range(int(q.want) + 1) for q in queues)) if sum(x) == most)


def _nearest_whole_division(total: int, queues: Sequence[Queue]) -> dict[str, float]:
    """Of all divisions in whole GPUs, the one nearest to the water level; among equals the oldest have more."""
    ideal = _water_level(total, queues)
    by_age = sorted(range(len(queues)), key=lambda i: (queues[i].created, queues[i].name))

    def badness(x: tuple[int, ...]) -> tuple[Fraction, list[int]]:
        distance = sum(((n - ideal[q.name]) ** 2 for n, q in zip(x, queues, strict=True)), Fraction(0))
        return distance, [-x[i] for i in by_age]

    best = min(_whole_divisions(total, queues), key=badness)
    return {q.name: float(n) for q, n in zip(queues, best, strict=True)}
