"""Pods whose containers demand for themselves: all on one node, several on one GPU where they fit, all or none."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.model.cluster import Gpu
from solver.model.demand import (
    ContainerDemands,
    Fraction,
    Gang,
    Memory,
    MigProfile,
    OneDemand,
    WholeGpus,
    by_part,
)
from solver.model.plan import Evict
from solver.model.reasons import Code
from solver.model.snapshot import ProjectQueue, Quota
from tests.solver.scenarios import a100, cluster, decide, gpu, interactive, place, refusal, request, shares


def containers(*parts: OneDemand) -> ContainerDemands:
    return ContainerDemands(parts)


def v100(uuid: str = "g0", node: str = "n0", index: int = 0) -> Gpu:
    return gpu("v100", uuid, node, index)


def test_two_parts_of_a_pod_share_a_gpu() -> None:
    made = decide(cluster(v100(), pending=(request("pod", containers(Fraction(0.5), Fraction(0.25))),)))
    devices = place(made, "pod").grant.devices
    assert [(share.gpu, share.portion) for share in devices] == [("g0", 0.5), ("g0", 0.25)]


def test_a_part_and_a_whole_gpu_come_in_the_order_of_the_containers() -> None:
    wish = request("pod", containers(Fraction(0.25), WholeGpus()))
    devices = place(decide(cluster(v100("g0"), v100("g1", index=1), pending=(wish,))), "pod").grant.devices
    assert [share.portion for share in devices] == [0.25, 1.0]
    assert len({share.gpu for share in devices}) == 2


def test_two_instances_of_one_gpu() -> None:
    wish = request("pod", containers(MigProfile("3g.20gb"), Memory(4864), Fraction(0.25)))
    devices = place(decide(cluster(a100(), pending=(wish,))), "pod").grant.devices
    assert [share.profile for share in devices] == ["3g.20gb", "1g.5gb", "2g.10gb"]


def test_all_containers_are_on_one_node_or_none_has_a_place() -> None:
    state = cluster(v100("g0", "n0"), v100("g1", "n1"), pending=(request("pod", containers(WholeGpus(), WholeGpus())),))
    assert refusal(decide(state), "pod").code is Code.TOO_BIG


def test_where_the_first_choice_leaves_no_room_for_the_others_another_is_taken() -> None:
    """One after another onto the fullest GPU that fits, the last 0.45 would find 0.4 and 0.05."""
    taken = shares(request("other", Fraction(0.1)), v100("g1", index=1), 0.1)
    wish = request("pod", containers(Fraction(0.5), Fraction(0.45), Fraction(0.45), Fraction(0.5)))
    made = decide(cluster(v100("g0"), v100("g1", index=1), held=(taken,), pending=(wish,)))
    by_gpu = Counter[str]()
    for share in place(made, "pod").grant.devices:
        by_gpu[share.gpu] += round(share.portion * 100)
    assert by_gpu == {"g0": 100, "g1": 90}


def test_who_is_in_the_way_of_any_container_gives_way() -> None:
    held = tuple(shares(request(name, Fraction(0.5)), v100(), 0.5) for name in ("a", "b"))
    made = decide(cluster(v100(), held=held, pending=(interactive("pod", containers(Fraction(0.5), Fraction(0.25))),)))
    assert {step.claim for step in made.steps if isinstance(step, Evict)} == {"a", "b"}
    assert set(place(made, "pod").waits_for) == {"a", "b"}


def test_quota_counts_the_sum_of_the_containers() -> None:
    tight = ProjectQueue("team-a", Quota(quota=0.7, limit=0.7))
    wish = request("pod", containers(Fraction(0.5), Fraction(0.25)))
    assert refusal(decide(cluster(v100(), projects=(tight,), pending=(wish,))), "pod").code is Code.OVER_LIMIT
    enough = ProjectQueue("team-a", Quota(quota=0.75, limit=0.75))
    place(decide(cluster(v100(), projects=(enough,), pending=(wish,))), "pod")


def test_a_gang_of_such_pods_starts_whole_or_not_at_all() -> None:
    gang = Gang("job", 2)
    members = [request(name, containers(WholeGpus(), Fraction(0.5)), gang=gang) for name in ("one", "two")]
    three = [v100(f"g{index}", index=index) for index in range(3)]
    made = decide(cluster(*three, pending=tuple(members)))
    granted = [share for name in ("one", "two") for share in place(made, name).grant.devices]
    assert Counter(share.portion for share in granted) == {1.0: 2, 0.5: 2}
    assert len({share.gpu for share in granted if share.portion == 0.5}) == 1
    assert all(refusal(decide(cluster(*three[:2], pending=tuple(members))), name) for name in ("one", "two"))


PARTS = st.one_of(
    st.builds(Fraction, st.sampled_from([0.1, 0.25, 0.3, 0.5])),
    st.builds(Memory, st.sampled_from([2000, 4864, 9000])),
    st.just(WholeGpus()),
    st.just(MigProfile("1g.5gb")),
)


@given(
    st.lists(st.sampled_from(["a100-40gb", "v100"]), min_size=1, max_size=3),
    st.lists(st.lists(PARTS, min_size=2, max_size=4).map(tuple), min_size=1, max_size=4),
)
def test_whatever_containers_demand_the_plan_keeps_every_rule(
    models: list[str], wishes: list[tuple[OneDemand, ...]]
) -> None:
    gpus = [gpu(model, f"g{index}", "n0", index) for index, model in enumerate(models)]
    pending = tuple(request(f"pod-{number}", containers(*parts)) for number, parts in enumerate(wishes))
    made = decide(cluster(*gpus, pending=pending))
    for wish in pending:
        outcome = made.outcomes[wish.claim]
        if hasattr(outcome, "grant"):
            answered = [len(devices) for _, devices in by_part(wish.demand, outcome.grant.devices)]
            assert answered == [part.devices for part in wish.demand.parts]  # type: ignore[union-attr]


@pytest.mark.parametrize("room", [0.75, 0.7])
def test_both_planners_place_the_same_containers(room: float) -> None:
    """Of very many requests those with several containers are served one by one."""
    held = (shares(request("other", Fraction(1 - room)), v100(), 1 - room),)
    many = tuple(request(f"w{number}", Fraction(0.9)) for number in range(300))
    wish = request("pod", containers(Fraction(0.5), Fraction(0.25)), priority=75)
    alone = decide(cluster(v100(), held=held, pending=(wish,)))
    among = decide(cluster(v100(), held=held, pending=(wish, *many)))
    assert type(alone.outcomes["pod"]) is type(among.outcomes["pod"])
