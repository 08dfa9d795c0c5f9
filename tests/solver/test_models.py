"""One GPU model asked for: kept to by every way to plan, and named where it is why a request waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migctl.reason_text import sentence
from solver.model.demand import ContainerDemands, Fraction, Memory, MigProfile, OneDemand, WholeGpus
from solver.model.reasons import Code
from solver.quota.accounting import asked
from tests.solver.scenarios import a100, cluster, decide, gpu, place, refusal, request, shares

MIXED = (gpu("v100", "v", "n0", 0), gpu("v100-32gb", "w", "n0", 1), a100("a", "n0", 2), gpu("l4", "l", "n0", 3))
DEMANDS: list[OneDemand] = [WholeGpus(), Fraction(0.5), Memory(5000)]


@pytest.mark.parametrize(("model", "uuid"), [("V100", "v"), ("v100-32gb", "w"), ("A100-40GB", "a"), ("l4", "l")])
@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: type(demand).__name__)
def test_only_that_model_is_given(demand: OneDemand, model: str, uuid: str) -> None:
    made = decide(cluster(*MIXED, pending=(request("a", replace(demand, model=model)),)))
    assert place(made, "a").grant.devices[0].gpu == uuid


def test_every_container_of_a_pod_has_it() -> None:
    parts = (Fraction(0.5, model="V100"), Fraction(0.25, model="V100"))
    made = decide(cluster(*MIXED, pending=(request("a", ContainerDemands(parts)),)))
    assert {share.gpu for share in place(made, "a").grant.devices} == {"v"}
    reason = refusal(decide(cluster(*MIXED[1:], pending=(request("a", ContainerDemands(parts)),))), "a")
    assert reason.code is Code.NO_SUCH_MODEL


def test_many_at_once_keep_to_their_models() -> None:
    """As many as are planned in batch; the judge of `decide` looks at each."""
    fleet = [gpu(model, f"{model}-{i}", f"n{i}", n) for i in range(40) for n, model in enumerate(("v100", "l4"))]
    wishes = [request(f"r{i:03}", Fraction(0.25, model=("V100", "L4")[i % 2])) for i in range(300)]
    made = decide(cluster(*fleet, pending=tuple(wishes)))
    assert all(place(made, wish.claim) for wish in wishes)


@pytest.mark.parametrize(
    ("demand", "code", "words"),
    [
        (Fraction(0.5, model="H100"), Code.NO_SUCH_MODEL, "no GPU here is of model H100; models: "),
        (WholeGpus(2, "V100"), Code.TOO_BIG, "2 whole GPUs of model V100 on one node: the best node has 1 GPU"),
        (
            Memory(30_000, model="V100"),
            Code.TOO_BIG,
            "V100 is more than any GPU has: the largest has 16160 MiB",
        ),
        (MigProfile("2g.10gb", model="V100"), Code.NO_SUCH_PROFILE, "no GPU here has the profile '2g.10gb'"),
        (Fraction(0.5, model="V100"), Code.NO_FREE_GPU, "no GPU has 0.5 GPU of model V100 free: GPU n0/0 has 0.2 free"),
    ],
)
def test_the_reason_names_the_model(demand: OneDemand, code: Code, words: str) -> None:
    held = (shares(request("x", Fraction(0.8), preemptible=False), MIXED[0], 0.8),)
    reason = refusal(decide(cluster(*MIXED, held=held, pending=(request("a", demand),))), "a")
    assert reason.code is code
    assert words in sentence(reason)


def test_memory_counts_as_its_part_of_the_model_that_was_asked_for() -> None:
    models = cluster(*MIXED).models
    assert asked(Memory(8080, model="v100"), models) == pytest.approx(0.5)
    assert asked(Memory(8192), models) == pytest.approx(0.2)
