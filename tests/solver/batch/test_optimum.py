"""The batch optimum against brute force on small clusters, and its bounds on larger ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.batch.optimum import solve as optimum
from solver.batch.optimum.blocks import fillings
from solver.batch.optimum.solve import solve
from solver.batch.problem import Demand, MigGroup, Options, PlainGroup, Problem, Solution
from solver.gpu_tables.layouts import layouts_of
from solver.model.catalog import find
from solver.model.geometry import GpuModel, layouts, legal

ALWAYS = lambda: True  # noqa: E731
PROFILES = {"a30": ("1g.6gb", "2g.12gb", "4g.24gb"), "a100-40gb": ("1g.5gb", "2g.10gb", "3g.20gb", "7g.40gb")}


def random_problem(rng: Random, gpus: int, kinds: int) -> Problem:
    """MIG GPUs of two models and GPUs without, busy and idle at random; kinds of two tiers, some share a choice."""
    groups = [_mig(rng, name, rng.randint(1, gpus)) for name in PROFILES] + [_plain(rng, rng.randint(1, gpus))]
    items = [(g, i) for g, group in enumerate(groups) for i in range(_items(group))]
    choices = [rng.sample(items, rng.randint(1, 3)) for _ in range(kinds)]
    for kind in range(1, kinds):
        if rng.random() < 0.4:
            choices[kind] = choices[kind - 1]
    options = [(kind, *item) for kind, mine in enumerate(choices) for item in mine]
    columns = np.array(options, dtype=np.int64).T
    return Problem(
        groups,
        Demand(
            np.array([rng.choice([0.125, 0.25, 0.3, 0.5, 1.0]) for _ in range(kinds)]),
            np.array([rng.randint(1, 2 * gpus) for _ in range(kinds)], dtype=np.int64),
            np.array([rng.randint(0, 1) for _ in range(kinds)], dtype=np.int64),
        ),
        Options(columns[0], columns[1], columns[2], np.zeros(len(options), dtype=np.int64)),
    )


def _items(group: MigGroup | PlainGroup) -> int:
    return len(group.profiles) if isinstance(group, MigGroup) else len(group.items)


def _mig(rng: Random, name: str, gpus: int) -> MigGroup:
    model = find(name)
    table = layouts_of(model)
    states = []
    for _ in range(gpus):
        open_, idle, free = table.all, 0, table.all
        for slot in rng.sample(range(len(table.slots)), 5):
            if free >> slot & 1:
                free &= ~table.excludes[slot]
                if rng.random() < 0.5:
                    open_ &= ~table.excludes[slot]
                else:
                    idle |= 1 << slot
        states.append((open_, idle, 1))
    columns = np.array(states, dtype=np.int64).T
    return MigGroup(model, PROFILES[name], columns[0], columns[1], columns[2])


def _plain(rng: Random, gpus: int) -> PlainGroup:
    free = np.array([rng.choice([300_000, 700_000, 1_000_000]) for _ in range(gpus)], dtype=np.int64)
    sizes = ((250_000, 4000), (500_000, 8000), (1_000_000, 16_000))
    return PlainGroup(sizes, free, free * 16_000 // 1_000_000, np.ones(gpus, dtype=np.int64))


Supply = tuple[int, ...]


def brute_force(problem: Problem) -> tuple[tuple[float, ...], int]:
    """The best weight of each tier in order, and the fewest operations that reach it: every layout of every GPU."""
    reached: dict[Supply, int] = {(): 0}
    for group in problem.groups:
        blank = (0,) * _items(group)
        reached = {(*supply, *blank): cost for supply, cost in reached.items()}
        for state in range(len(group.count)):
            extended: dict[Supply, int] = {}
            for (supply, cost), (gives, work) in product(reached.items(), _choices(group, state)):
                total = (*supply[: -len(gives)], *(a + b for a, b in zip(supply[-len(gives) :], gives, strict=True)))
                extended[total] = min(extended.get(total, 10**9), cost + work)
            reached = extended
    served = [(_best_service(problem, supply), -cost) for supply, cost in reached.items()]
    (weights, cost) = max(served)
    return weights, -cost


def _choices(group: MigGroup | PlainGroup, state: int) -> Iterator[tuple[Supply, int]]:
    if isinstance(group, PlainGroup):
        sizes = np.array(group.items)
        for counts in product(*(range(int(group.millionths[state]) // share + 1) for share, _ in group.items)):
            used = np.array(counts) @ sizes
            if used[0] <= group.millionths[state] and used[1] <= group.memory_mib[state]:
                yield counts, 0
        return
    best: dict[Supply, int] = {}
    for gives, work in _layout_choices(group.model, group.profiles, int(group.open[state]), int(group.idle[state])):
        best[gives] = min(best.get(gives, 10**9), work)
    yield from best.items()


@cache
def _layout_choices(model: GpuModel, profiles: tuple[str, ...], open_: int, idle: int) -> list[tuple[Supply, int]]:
    table = layouts_of(model)
    kept = [slot for i, slot in enumerate(table.slots) if idle >> i & 1]
    found = []
    for layout in layouts(model, profiles):
        if all(open_ >> table.index[slot] & 1 for slot in layout):
            created = [slot for slot in layout if slot not in kept]
            destroyed = [k for k in kept if k not in layout and any(not legal(model, (k, slot)) for slot in layout)]
            gives = tuple(sum(slot.profile == name for slot in layout) for name in profiles)
            found.append((gives, len(created) + len(destroyed)))
    return found


def _best_service(problem: Problem, supply: Supply) -> tuple[float, ...]:
    """Weights are the requests' own, so serving them in order of tier and weight, with re-assignment, is best."""
    offsets = np.concatenate([[0], np.cumsum([_items(group) for group in problem.groups])])
    can = [
        [
            int(offsets[g] + i)
            for k, g, i in zip(problem.options.kind, problem.options.group, problem.options.item, strict=True)
            if k == kind
        ]
        for kind in range(len(problem.demand.count))
    ]
    order = sorted(range(len(can)), key=lambda k: (problem.demand.tier[k], -problem.demand.weight[k]))
    serving: list[list[int]] = [[] for _ in supply]
    weights = [0.0] * (int(problem.demand.tier.max()) + 1)

    def place(kind: int, seen: set[int]) -> bool:
        for item in can[kind]:
            if item in seen:
                continue
            seen.add(item)
            if len(serving[item]) < supply[item]:
                serving[item].append(kind)
                return True
            for other in set(serving[item]):
                if place(other, seen):
                    serving[item].remove(other)
                    serving[item].append(kind)
                    return True
        return False

    for kind in order:
        for _ in range(int(problem.demand.count[kind])):
            if not place(kind, set()):
                break
            weights[int(problem.demand.tier[kind])] += float(problem.demand.weight[kind])
    return tuple(round(weight, 6) for weight in weights)


def judged(problem: Problem, answer: Solution) -> tuple[tuple[float, ...], int]:
    """The answer's weight per tier and operations, after checking that it is one."""
    given: dict[tuple[int, int], int] = {}
    work = 0
    for g, (group, packing) in enumerate(zip(problem.groups, answer.packings, strict=True)):
        used = np.bincount(packing.state, weights=packing.count, minlength=len(group.count))
        assert (used <= group.count).all()
        for state, pattern, count in zip(packing.state, packing.pattern, packing.count, strict=True):
            if isinstance(group, MigGroup):
                chosen = [slot for i, slot in enumerate(layouts_of(group.model).slots) if int(pattern) >> i & 1]
                assert legal(group.model, chosen)
                assert int(pattern) & ~int(group.open[state]) == 0
                gives = tuple(sum(slot.profile == name for slot in chosen) for name in group.profiles)
                costs = _layout_choices(group.model, group.profiles, int(group.open[state]), int(group.idle[state]))
                work += int(count) * min(cost for supply, cost in costs if supply == gives)
            else:
                gives = tuple(int(n) for n in pattern)
                need = np.array(gives) @ np.array(group.items)
                assert need[0] <= group.millionths[state]
                assert need[1] <= group.memory_mib[state]
            for item, number in enumerate(gives):
                given[g, item] = given.get((g, item), 0) + number * int(count)
    weights = [0.0] * (int(problem.demand.tier.max()) + 1)
    served = [0] * len(problem.demand.count)
    for kind, g, item, flow in zip(
        problem.options.kind, problem.options.group, problem.options.item, answer.flow, strict=True
    ):
        given[g, item] = given.get((g, item), 0) - int(flow)
        served[kind] += int(flow)
        weights[problem.demand.tier[kind]] += float(problem.demand.weight[kind]) * int(flow)
    assert min(given.values()) >= 0
    assert all(n <= count for n, count in zip(served, problem.demand.count, strict=True))
    return tuple(round(weight, 6) for weight in weights), work


@settings(max_examples=25, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_small_clusters_are_solved_to_the_optimum(rng: Random) -> None:
    problem = random_problem(rng, 2, 4)
    answer = solve(problem, ALWAYS)
    assert judged(problem, answer) == brute_force(problem)
    assert answer.weight == pytest.approx(answer.weight_bound)


@pytest.mark.parametrize("gpus", [30, 60])
def test_bounds_hold_and_gaps_are_small(gpus: int) -> None:
    for seed in range(4):
        problem = random_problem(Random(seed), gpus, 8)
        answer = solve(problem, ALWAYS)
        weights, work = judged(problem, answer)
        assert sum(weights) == pytest.approx(answer.weight)
        assert sum(weights) <= answer.weight_bound + 1e-6
        assert work >= answer.operations_bound - 1e-6
        assert sum(weights) >= 0.97 * answer.weight_bound


def test_no_bound_excludes_the_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimum of what is solved whole keeps every bound that the relaxations alone have proven."""
    monkeypatch.setattr(optimum, "EXACT_S", 20.0)
    compared = 0
    for seed in range(12):
        problem = random_problem(Random(seed), 15, 6)
        monkeypatch.setattr(optimum, "EXACT_GPUS", 0)
        bounded = solve(problem, ALWAYS)
        monkeypatch.setattr(optimum, "EXACT_GPUS", 1000)
        exact = solve(problem, ALWAYS)
        (weights, _), (best, fewest) = judged(problem, bounded), judged(problem, exact)
        assert weights <= best
        assert sum(best) <= bounded.weight_bound + 1e-6
        if all(mine >= theirs for mine, theirs in zip(best, weights, strict=True)):
            compared += 1
            assert fewest >= bounded.operations_bound - 1e-6
    assert compared > 6


def test_fillings_are_complete_for_a_few_sizes() -> None:
    patterns, complete = fillings(((500_000, 8000), (250_000, 4000)), 1_000_000, 16_000)
    assert complete
    assert {tuple(p) for p in patterns.tolist()} == {(a, b) for a in range(3) for b in range(5) if 2 * a + b <= 4}


def test_many_sizes_are_priced_as_they_are_needed() -> None:
    """Twenty sizes make too many patterns to list: the best ones are found all the same."""
    sizes = tuple((40_000 * i, 640 * i) for i in range(1, 21))
    group = PlainGroup(sizes, np.array([1_000_000]), np.array([16_000]), np.array([50]))
    kinds = np.arange(20, dtype=np.int64)
    zeros = np.zeros(20, dtype=np.int64)
    demand = Demand(np.array([0.04 * i for i in range(1, 21)]), np.full(20, 6, dtype=np.int64), zeros)
    answer = solve(Problem([group], demand, Options(kinds, zeros, kinds, zeros)), ALWAYS)
    judged(Problem([group], demand, Options(kinds, zeros, kinds, zeros)), answer)
    assert answer.weight >= 0.98 * answer.weight_bound
    assert answer.weight_bound <= 50.0 + 1e-6
