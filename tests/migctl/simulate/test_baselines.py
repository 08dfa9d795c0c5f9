"""Each rule on an example that can be checked by hand, and the bound against all layouts there are."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from migctl.simulate.baselines.mig import RULES, MigBaseline
from migctl.simulate.bound import Repacking
from migctl.simulate.fleet import PROJECT, parse
from solver.model.catalog import find
from solver.model.demand import MigProfile, Request
from solver.model.geometry import layouts

DEMAND = {"1g.5gb": 0.5, "4g.20gb": 0.5}


def _request(claim: str, profile: str) -> Request:
    return Request(claim, claim, PROJECT, MigProfile(profile))


def _place(baseline: MigBaseline, claim: str, profile: str) -> tuple[str, int | None]:
    admission = baseline.admit(_request(claim, profile), 0.0)
    assert admission is not None
    assert admission.grant is not None
    (share,) = admission.grant.devices
    return share.gpu, share.start


@pytest.mark.parametrize(
    ("rule", "gpu", "start"),
    [
        ("first-fit", 0, 0),
        ("best-fit", 1, 4),
        # at 4 it would close 1g@4, 2g@4 and 3g@4; at 6 only 1g@6 and 3g@4; on the empty GPU 7g and more
        ("most-placements-left", 1, 6),
        # a 4g still fits at 0 of the empty GPU, and cannot use units 4 to 7 of either
        ("fgd", 0, 4),
        ("hami", 1, 6),
        ("hami-spread", 0, 6),
        ("dra", 0, 0),
    ],
)
def test_where_1g_goes_between_an_empty_gpu_and_one_with_its_first_half_taken(rule: str, gpu: int, start: int) -> None:
    baseline = MigBaseline(parse("a100-40gb=2"), RULES[rule], DEMAND)
    places = {_place(baseline, claim, "4g.20gb"): claim for claim in ("a", "b")}
    baseline.release(places["node-0000/0", 0])
    assert _place(baseline, "c", "1g.5gb") == (f"node-0000/{gpu}", start)


def test_hami_fills_the_fullest_node_and_takes_others_from_the_low_end() -> None:
    for rule in ("hami", "hami-spread"):
        baseline = MigBaseline(parse("a100-40gb=16"), RULES[rule], DEMAND)
        assert _place(baseline, "a", "2g.10gb") == ("node-0000/0", 0)
        assert _place(baseline, "b", "3g.20gb") == (f"node-0000/{0 if rule == 'hami' else 1}", 4)


def test_idle_instances_are_used_again_or_make_room() -> None:
    baseline = MigBaseline(parse("a100-40gb=1"), RULES["first-fit"], DEMAND)
    _place(baseline, "a", "1g.5gb")
    baseline.release("a")
    again = baseline.admit(_request("b", "1g.5gb"), 0.0)
    baseline.release("b")
    larger = baseline.admit(_request("c", "7g.40gb"), 0.0)
    assert again is not None
    assert larger is not None
    assert (again.creates, again.destroys) == (0, 0)
    assert (larger.creates, larger.destroys) == (1, 1)
    assert baseline.admit(_request("d", "1g.5gb"), 0.0) is None


@pytest.mark.parametrize(("spec", "gpus"), [("a100-40gb", 1), ("a100-40gb", 2), ("a30", 2), ("rtx-pro-6000", 1)])
def test_the_bound_admits_exactly_what_some_layouts_hold(spec: str, gpus: int) -> None:
    fleet = parse(f"{spec}={gpus}")
    model = find(spec)
    bound = Repacking(fleet)
    names = list(bound.profiles)
    held = {tuple(Counter(p.profile for p in layout)[name] for name in names) for layout in layouts(model, names)}
    fits = {tuple(map(sum, zip(*parts, strict=True))) for parts in product(held, repeat=gpus)}
    rng, counts, holders = Random(1), [0] * len(names), list[tuple[str, int]]()
    for step in range(600):
        if holders and rng.random() < 0.4:
            claim, profile = holders.pop(rng.randrange(len(holders)))
            bound.release(claim)
            counts[profile] -= 1
            continue
        profile = rng.randrange(len(names))
        wanted = tuple(count + (i == profile) for i, count in enumerate(counts))
        admitted = bound.admit(_request(f"c{step}", names[profile]), 0.0) is not None
        assert admitted == (wanted in fits), wanted
        if admitted:
            counts[profile] += 1
            holders.append((f"c{step}", profile))
