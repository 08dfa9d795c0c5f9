"""Software shares, whole GPUs, nodes, quota and gangs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migctl.reason_text import sentence
from solver.model.cluster import Backing, Gpu, Node
from solver.model.demand import Demand, Fraction, Gang, Holding, Memory, MigProfile, Request, WholeGpus
from solver.model.plan import Placed
from solver.model.reasons import Code
from solver.model.snapshot import Policy, ProjectQueue, Quota, Spreading
from tests.solver.scenarios import (
    a100,
    carried_out,
    cluster,
    decide,
    gpu,
    instance,
    interactive,
    place,
    refusal,
    request,
    shares,
)


class TestWithoutMig:
    @pytest.mark.parametrize(
        ("model", "demand", "mib"),
        [("v100", Fraction(0.5), 8080), ("a10", Fraction(0.3), 6908), ("v100", Memory(4769), 4769)],
    )
    def test_memory_seen(self, model: str, demand: Demand, mib: int) -> None:
        share = place(decide(cluster(gpu(model), pending=(request("a", demand),))), "a").grant.devices[0]
        assert (share.backing, share.memory_mib) == (Backing.SOFTWARE, mib)

    def test_two_halves_share_a_gpu_and_a_third_waits_with_the_names(self) -> None:
        wishes = tuple(request(name, Fraction(0.5), created=i) for i, name in enumerate(("one", "two", "three")))
        before = cluster(gpu("v100"), pending=wishes)
        made = decide(before)
        assert place(made, "one").grant.devices[0].gpu == place(made, "two").grant.devices[0].gpu
        after = refusal(decide(carried_out(before, made)), "three")
        assert after.code is Code.NO_FREE_GPU
        assert after.blockers is not None

    def test_ten_tenths_are_one(self) -> None:
        made = decide(cluster(gpu("v100"), pending=tuple(request(f"c{i}", Fraction(0.1)) for i in range(10))))
        assert all(place(made, f"c{i}") for i in range(10))

    @pytest.mark.parametrize(("spreading", "gpus"), [(Spreading.BINPACK, 1), (Spreading.SPREAD, 2)])
    def test_packing_and_spreading(self, spreading: Spreading, gpus: int) -> None:
        wishes = (request("a", Fraction(0.4)), request("b", Fraction(0.4)))
        two = cluster(gpu("v100", "g0", "n0"), gpu("v100", "g1", "n1"), pending=wishes)
        made = decide(two, Policy(spreading={"default": spreading}))
        assert len({place(made, c).grant.devices[0].gpu for c in "ab"}) == gpus

    def test_mig_is_preferred_and_software_stands_in(self) -> None:
        wishes = (request("a", Fraction(0.5)), request("b", Memory(9537)))
        two = cluster(gpu("v100", "v", "n0"), a100("g", "n1"), pending=wishes)
        assert {place(decide(two), c).grant.devices[0].backing for c in "ab"} == {Backing.MIG}
        full = a100("g", "n1", 0, instance("7g.40gb", 0, "busy", "x"))
        made = decide(replace(two, gpus=(two.gpus[0], full)))
        assert place(made, "a").grant.devices[0].backing is Backing.SOFTWARE

    def test_a_profile_is_never_replaced_by_software(self) -> None:
        made = decide(cluster(gpu("v100", "v"), pending=(request("a", MigProfile("2g.10gb")),)))
        assert refusal(made, "a").code is Code.NO_SUCH_PROFILE

    def test_whole_gpus_need_empty_ones_on_one_node(self) -> None:
        four = [gpu("v100", f"g{i}", f"n{i // 2}", i % 2) for i in range(4)]
        held = shares(request("x", Fraction(0.2)), four[0], 0.2)
        made = decide(cluster(*four, held=(held,), pending=(request("a", WholeGpus(2)), request("b", WholeGpus(2)))))
        assert place(made, "a").grant.node == "n1"
        assert refusal(made, "b").blockers is not None


class TestNodes:
    def test_selectors_pools_exclusions_and_readiness(self) -> None:
        gpus = [gpu("v100", f"g{i}", f"n{i}") for i in range(4)]
        west = {"zone": "west"}
        nodes = [
            Node("n0", "blue", ready=False),
            Node("n1", "blue"),
            Node("n2", "blue", west),
            Node("n3", "cyan", west),
        ]
        wish = request("a", WholeGpus(), pools=("blue",), node_selector=west)
        assert place(decide(cluster(*gpus, nodes=nodes, pending=(wish,))), "a").grant.node == "n2"
        made = decide(cluster(*gpus, nodes=nodes, pending=(replace(wish, excluded=frozenset({"n2"})),)))
        assert refusal(made, "a").code is Code.NO_MATCHING_NODE
        made = decide(cluster(*gpus, nodes=nodes, pending=(replace(wish, pools=("red",)),)))
        assert refusal(made, "a").code is Code.NO_SUCH_POOL

    def test_pools_are_taken_in_order_of_preference(self) -> None:
        gpus = [gpu("v100", f"g{i}", f"n{i}") for i in range(2)]
        nodes = [Node("n0", "blue"), Node("n1", "green")]
        made = decide(cluster(*gpus, nodes=nodes, pending=(request("a", Fraction(0.5), pools=("green", "blue")),)))
        assert place(made, "a").grant.node == "n1"

    def test_fenced_gpus_get_nothing_new(self) -> None:
        fenced = replace(gpu("v100"), fenced="its state cannot be explained")
        made = decide(cluster(fenced, pending=(request("a", Fraction(0.5)),)))
        assert "its state cannot be explained" in sentence(refusal(made, "a"))

    def test_host_cpu_and_affinity_count(self) -> None:
        gpus = [gpu("v100", f"g{i}", f"n{i}") for i in range(2)]
        nodes = [Node("n0", cpu_milli=1000), Node("n1", cpu_milli=4000)]
        wishes = tuple(request(c, Fraction(0.1), cpu_milli=900, anti_affinity="k") for c in "abc")
        made = decide(cluster(*gpus, nodes=nodes, pending=wishes))
        assert {place(made, c).grant.node for c in "ab"} == {"n0", "n1"}
        assert refusal(made, "c").code is Code.BEHIND_OTHERS


class TestQuota:
    def test_non_preemptible_work_stays_inside_the_quota(self) -> None:
        team = ProjectQueue("team-a", Quota(quota=1.0))
        wishes = tuple(interactive(f"w{p}", Fraction(p)) for p in (0.5, 0.3))
        before = cluster(gpu("v100"), gpu("v100", "g1", index=1), projects=[team], pending=wishes)
        after = carried_out(before, decide(before))
        firm = decide(replace(after, pending=(interactive("x", Fraction(0.3)),)))
        assert refusal(firm, "x").code is Code.NON_PREEMPTIBLE_OVER_QUOTA
        assert all(number in sentence(refusal(firm, "x")) for number in ("1.00", "0.80", "0.30"))
        soft = decide(replace(after, pending=(request("x", Fraction(0.3), priority=75),)))
        assert place(soft, "x")

    def test_limits_and_unknown_projects(self) -> None:
        team = ProjectQueue("team-a", Quota(quota=1.0, limit=1.0))
        wishes = (request("a", WholeGpus()), request("b", WholeGpus()), request("c", WholeGpus(), "nobody"))
        made = decide(cluster(gpu("v100"), gpu("v100", "g1", index=1), projects=[team], pending=wishes))
        assert refusal(made, "b").code is Code.OVER_LIMIT
        assert refusal(made, "c").code is Code.UNKNOWN_PROJECT

    def test_what_has_no_room_does_not_use_up_the_limit(self) -> None:
        team = ProjectQueue("team-a", Quota(quota=1.0, limit=2.0))
        wishes = (request("a", WholeGpus(2), created=0.0), request("b", Fraction(0.5), created=1.0))
        made = decide(cluster(gpu("v100"), projects=[team], pending=wishes))
        assert refusal(made, "a").code is Code.TOO_BIG
        assert place(made, "b")

    def test_backing_off(self) -> None:
        made = decide(cluster(gpu("v100"), now=5.0, pending=(request("a", WholeGpus(), backing_off_until=9.0),)))
        assert refusal(made, "a").code is Code.BACKING_OFF

    def test_behind_others(self) -> None:
        wishes = (request("a", WholeGpus(), created=0.0), request("b", WholeGpus(), created=1.0))
        made = decide(cluster(gpu("v100"), pending=wishes))
        assert sentence(refusal(made, "b")).startswith("requests ahead of it take the room: ")


class TestGangs:
    def test_all_or_nothing(self) -> None:
        two = [gpu("v100", f"g{i}", f"n{i}") for i in range(2)]
        members = tuple(request(f"m{i}", WholeGpus(), gang=Gang("mpi", 3)) for i in range(3))
        made = decide(cluster(*two, pending=members))
        assert {refusal(made, m.claim).code for m in members} == {Code.GANG_DOES_NOT_FIT}
        made = decide(cluster(*two, gpu("v100", "g2", "n2"), pending=members))
        assert all(place(made, m.claim) for m in members)

    def test_who_takes_the_room_of_a_gang_is_said_truly(self) -> None:
        """A gang is not told that its own members are ahead of it, nor that others are who hold their room already."""
        cards = [gpu("v100", f"g{i}", f"n{i}") for i in range(4)]
        members = tuple(request(f"m{i}", WholeGpus(), gang=Gang("mpi", 4), created=1.0) for i in range(4))

        def said(*gpus: Gpu, held: tuple[Holding, ...] = (), first: tuple[Request, ...] = ()) -> str:
            return sentence(refusal(decide(cluster(*gpus, held=held, pending=(*first, *members))), "m0"))

        alone = said(*cards[:3])
        assert "4 members fit together, 3 do: its own members leave no place for one more of 1 whole GPU" in alone
        holder = shares(request("x", Fraction(1.0), priority=100), cards[0], 1.0)
        behind = said(*cards, held=(holder,))
        assert "3 do: no GPU has 1 whole GPU free: GPU n0/0 has 0 free; x (1 GPU)" in behind
        ahead = said(*cards, first=(request("a", WholeGpus(), priority=100),))
        assert "3 do: requests ahead of it take the room: no GPU has 1 whole GPU free: GPU n0/0 has 0 free; a" in ahead

    def test_one_domain(self) -> None:
        gpus = [gpu("v100", f"g{i}", f"n{i}") for i in range(5)]
        nodes = [Node(f"n{i}", labels={"rack": "a" if i < 2 else "b"}) for i in range(5)]
        gang = Gang("mpi", 3, domain="rack")
        members = tuple(request(f"m{i}", WholeGpus(), gang=gang) for i in range(3))
        made = decide(cluster(*gpus, nodes=nodes, pending=members))
        assert {place(made, m.claim).grant.node for m in members} == {"n2", "n3", "n4"}
        small = cluster(*gpus[:4], nodes=nodes[:4], pending=members)
        assert refusal(decide(small), "m0").code is Code.GANG_DOES_NOT_FIT
        preferred = tuple(replace(m, gang=replace(gang, domain_required=False)) for m in members)
        assert place(decide(replace(small, pending=preferred)), "m0")


class TestUnequalModels:
    """Several GPUs of one node for one request: of one model where there are enough, else of several."""

    @pytest.mark.parametrize("models", [("v100", "v100-32gb"), ("l4", "a10")])
    @pytest.mark.parametrize("demand", [WholeGpus(2), Fraction(0.5, 2), Memory(4096, 2)])
    def test_two_idle_gpus_of_different_models_are_given(self, models: tuple[str, str], demand: Demand) -> None:
        gpus = [gpu(model, f"g{index}", "n0", index) for index, model in enumerate(models)]
        made = decide(cluster(*gpus, pending=(request("a", demand),)))
        assert {share.gpu for share in place(made, "a").grant.devices} == {"g0", "g1"}

    def test_equal_models_come_first(self) -> None:
        models = ("v100-32gb", "v100", "v100")
        gpus = [gpu(model, f"g{index}", "n0", index) for index, model in enumerate(models)]
        made = decide(cluster(*gpus, pending=(request("a", WholeGpus(2)),)))
        assert {share.gpu for share in place(made, "a").grant.devices} == {"g1", "g2"}

    def test_work_on_one_of_them_gives_way(self) -> None:
        gpus = [gpu("v100", "g0", "n0", 0), gpu("v100-32gb", "g1", "n0", 1)]
        low = shares(request("x", Fraction(0.5)), gpus[0], 0.5)
        urgent = request("a", WholeGpus(2), priority=125)
        made = decide(cluster(*gpus, held=(low,), pending=(urgent,)))
        assert place(made, "a").waits_for == ("x",)


class TestForeignMemory:
    """What processes of no claim hold is planned around, as foreign MIG instances are."""

    def test_an_empty_gpu_comes_before_one_that_others_fill(self) -> None:
        full = replace(gpu("v100", "g0"), foreign_mib=15000)
        made = decide(cluster(full, gpu("v100", "g1", index=1), pending=(request("a", WholeGpus()),)))
        assert place(made, "a").grant.devices[0].gpu == "g1"

    def test_a_share_gets_what_is_left(self) -> None:
        half = replace(gpu("v100"), foreign_mib=8000)
        waiting = (request("a", Memory(8000)), request("b", Memory(8000), created=1.0))
        made = decide(cluster(half, pending=waiting))
        assert place(made, "a")
        assert refusal(made, "b")

    def test_who_waits_for_it_is_told_what_is_in_the_way(self) -> None:
        full = replace(gpu("v100"), foreign_mib=15000)
        made = decide(cluster(full, pending=(request("a", WholeGpus()),)))
        assert refusal(made, "a").code is Code.BLOCKED_BY_OTHERS
        assert "n0/0: 15000 MiB of other processes" in sentence(refusal(made, "a"))

    def test_the_batch_plans_around_it_as_well(self) -> None:
        cards = [replace(gpu("v100", f"g{i}", f"n{i}"), foreign_mib=15000 if i % 2 else 0) for i in range(300)]
        waiting = tuple(request(f"r{i}", WholeGpus(), created=float(i)) for i in range(300))
        made = decide(cluster(*cards, pending=waiting))
        given = {o.grant.devices[0].gpu for o in made.outcomes.values() if isinstance(o, Placed)}
        assert given == {card.uuid for card in cards if not card.foreign_mib}


class TestCertificate:
    """The bound knows what is in use and what quota bars: it does not alarm where nothing better exists."""

    def test_a_full_cluster_is_the_best_there_is(self) -> None:
        cards = [gpu("v100", f"g{i}", "n0", i) for i in range(4)]
        waiting = tuple(request(f"r{i}", WholeGpus(), created=float(i)) for i in range(8))
        certificate = decide(cluster(*cards, pending=waiting)).certificate
        assert (certificate.value, certificate.bound) == (4.0, 4.0)

    def test_what_a_limit_bars_is_not_missed(self) -> None:
        cards = [gpu("v100", f"g{i}", "n0", i) for i in range(4)]
        team = ProjectQueue("team-a", Quota(1.0, limit=1.0))
        waiting = tuple(request(f"r{i}", WholeGpus(), created=float(i)) for i in range(2))
        certificate = decide(cluster(*cards, projects=[team], pending=waiting)).certificate
        assert certificate.gap == 0.0

    def test_what_could_have_had_the_room_of_another_is_missed(self) -> None:
        waiting = (request("a", Fraction(0.6), created=0.0), request("b", WholeGpus(), created=1.0))
        certificate = decide(cluster(gpu("v100"), pending=waiting)).certificate
        assert (certificate.value, certificate.bound) == (0.6, 1.0)
