"""Whether a share can be given on a GPU as it is now: the last check before a grant is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solver.model.catalog import find
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart
from solver.model.demand import DeviceShare
from solver.model.occupation import all_occupied, conflict, occupied

A100 = find("a100-40gb")
OFF = Gpu("G", "n", 0, A100.id, A100.memory_mib)
ON = replace(OFF, mig=True)
INSTANCE = DeviceShare("G", Backing.MIG, 1 / 7, 4864, "1g.5gb", 0, 1)
SOFTWARE = DeviceShare("G", Backing.SOFTWARE, 0.5, 20000)
WHOLE = DeviceShare("G", Backing.WHOLE, 1.0, A100.memory_mib)


@pytest.mark.parametrize(
    ("gpu", "share", "why"),
    [
        (OFF, INSTANCE, "GPU G is not in MIG mode"),
        (ON, SOFTWARE, "GPU G is in MIG mode"),
        (ON, WHOLE, "GPU G is in MIG mode"),
        (ON, replace(INSTANCE, start=7), "GPU G has no place for a 1g.5gb at 7"),
        (ON, replace(INSTANCE, profile="1g.99gb"), "GPU G has no place for a 1g.99gb at 0"),
        (replace(OFF, parts=(SharedPart("x", 0.8, 8000),)), SOFTWARE, "GPU G has no 20000 MiB left"),
        (replace(OFF, held_by="x"), SOFTWARE, "GPU G is held whole"),
        (replace(OFF, fenced="XID 79"), WHOLE, "GPU G is fenced: XID 79"),
    ],
)
def test_what_cannot_be_given(gpu: Gpu, share: DeviceShare, why: str) -> None:
    assert conflict(gpu, share, A100) == why


def test_a_second_instance_with_media_extensions_is_none() -> None:
    first = replace(INSTANCE, profile="1g.5gb+me")
    taken = occupied(ON, "a", first)
    assert conflict(taken, replace(first, start=1), A100) == "GPU G takes no 1g.5gb+me beside 1g.5gb+me"
    assert conflict(taken, replace(INSTANCE, start=1), A100) == ""


def test_idle_instances_give_way_and_foreign_ones_do_not() -> None:
    idle = replace(ON, instances=(Instance("7g.40gb", 0, 8, InstanceState.IDLE),))
    assert conflict(idle, INSTANCE, A100) == ""
    foreign = replace(ON, instances=(Instance("7g.40gb", 0, 8, InstanceState.FOREIGN),))
    assert conflict(foreign, INSTANCE, A100) == "units 0 to 0 of G are taken"


def test_an_instance_of_a_model_that_is_not_known_is_not_given() -> None:
    assert conflict(ON, INSTANCE, None) == "GPU G has no place for a 1g.5gb at 0"


def test_two_shares_of_one_claim_stand_beside_each_other() -> None:
    first, second = replace(SOFTWARE, portion=0.25, memory_mib=10000), SOFTWARE
    assert [p.portion for p in occupied(OFF, "a", first, second).parts] == [0.25, 0.5]
    twice = all_occupied(occupied(OFF, "a", first), (("a", first), ("b", second), ("a", first)))
    assert sorted((p.claim, p.portion) for p in twice.parts) == [("a", 0.25), ("a", 0.25), ("b", 0.5)]
    ends = INSTANCE, replace(INSTANCE, start=6)
    assert [(i.start, i.claim) for i in occupied(ON, "a", *ends).instances] == [(0, "a"), (6, "a")]
