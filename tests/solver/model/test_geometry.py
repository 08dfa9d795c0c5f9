"""What a GPU can be: the published counts, and the rules on small cases."""

from __future__ import annotations

import pytest

from solver.gpu_tables.tables import table
from solver.model.catalog import find, models
from solver.model.geometry import GpuModel, Placement, layouts, legal, maximal

BASE = ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")
A100 = find("a100-40gb")


@pytest.mark.parametrize(
    ("profiles", "all_legal", "all_maximal"),
    [
        pytest.param(BASE, 298, 19, id="base"),
        pytest.param((*BASE, "1g.10gb"), 723, 78, id="with-double-memory"),
        pytest.param((*BASE, "1g.10gb", "1g.5gb+me"), 2319, 239, id="with-media"),
    ],
)
def test_a100_layouts(profiles: tuple[str, ...], all_legal: int, all_maximal: int) -> None:
    found = list(layouts(A100, profiles))
    assert len(found) == len(set(found)) == all_legal
    assert sum(maximal(A100, layout, profiles) for layout in found) == all_maximal


@pytest.mark.parametrize(("profiles", "masks"), [(BASE, 144), ((*BASE, "1g.10gb"), 192)])
def test_a100_occupancy_masks(profiles: tuple[str, ...], masks: int) -> None:
    slot_masks = {(slot.profile.name, slot.start): slot.mask for slot in table(A100).slots}
    seen = {sum(slot_masks[p.profile, p.start] for p in layout) for layout in layouts(A100, profiles)}
    assert len(seen) == masks


def test_a100_multisets() -> None:
    assert len({tuple(sorted(p.profile for p in layout)) for layout in layouts(A100, BASE)}) == 38


@pytest.mark.parametrize("model", [m for m in models().values() if m.units], ids=lambda m: m.id)
def test_maximum_counts_are_reached_and_not_exceeded(model: GpuModel) -> None:
    for profile in model.profiles:
        if profile.starts:
            best = max(len(layout) for layout in layouts(model, [profile.name]))
            assert best == profile.max_count, profile.name


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        pytest.param([("3g.20gb", 0), ("3g.20gb", 4)], True, id="two-halves"),
        pytest.param([("3g.20gb", 0), ("2g.10gb", 2)], False, id="overlap"),
        pytest.param([("4g.20gb", 4)], False, id="illegal-start"),
        pytest.param([("1g.5gb+me", 0), ("1g.5gb+me", 1)], False, id="media-twice"),
        pytest.param([("9g.90gb", 0)], False, id="no-such-profile"),
        pytest.param([], True, id="empty"),
    ],
)
def test_rules(layout: list[tuple[str, int]], expected: bool) -> None:
    assert legal(A100, [Placement(*place) for place in layout]) is expected


def test_media_all_leaves_only_instances_without_media() -> None:
    rtx = find("rtx-pro-6000-bse")
    everything = Placement("1g.24gb+me.all", 0)
    assert legal(rtx, [everything, Placement("1g.24gb-me", 3)])
    assert not legal(rtx, [everything, Placement("1g.24gb", 3)])
