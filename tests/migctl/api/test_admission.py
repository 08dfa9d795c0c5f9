"""What may be submitted and what may not: tables of cases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from migctl.admission import check, check_change, check_project, check_removal, ranked
from migctl.backends.protocol import Conflict, Invalid, NotFound
from migctl.objects import GpuRequest, Meta, Project, ProjectSpec, Workload, WorkloadSpec, WorkloadType
from solver.model import catalog

PROJECTS = (
    Project(meta=Meta(name="team-b")),
    Project(meta=Meta(name="team-a")),
    Project(meta=Meta(name="leaving", deleting=datetime(2030, 1, 1, tzinfo=UTC))),
)
MODELS = (catalog.find("a100-40gb"), catalog.find("v100"))
NAME = "frac05"


def workload(name: str = NAME, project: str = "team-a", **spec: Any) -> Workload:
    gpu_request = spec.pop("gpu_request", GpuRequest(fraction=0.5))
    kind = spec.pop("type", WorkloadType.TRAINING)
    return Workload(
        meta=Meta(name=name, project=project), spec=WorkloadSpec(type=kind, gpu_request=gpu_request, **spec)
    )


LEGAL = {
    "a fraction": workload(),
    "a small fraction of two GPUs": workload(gpu_request=GpuRequest(fraction=0.01, devices=2)),
    "memory": workload(gpu_request=GpuRequest(memory_mib=4769)),
    "the least memory": workload(gpu_request=GpuRequest(memory_mib=96)),
    "a profile": workload(gpu_request=GpuRequest(profile="2g.10gb")),
    "a media profile": workload(gpu_request=GpuRequest(profile="1g.5gb+me")),
    "whole GPUs": workload(gpu_request=GpuRequest(devices=8)),
    "a model": workload(gpu_request=GpuRequest(model="v100")),
    "a profile of a model": workload(gpu_request=GpuRequest(profile="2g.10gb", model="A100-40GB")),
    "one letter": workload("a"),
    "63 letters": workload("a" * 63),
    "digits first": workload("0-a"),
    "variables": workload(environment={"A": "", "_B2": "zażółć = 'x'\n"}),
    "a search": workload(parallelism=3, completions=12),
    "deleted at once": workload(ttl_after_finish_s=0.0, backoff_limit=0),
    "a directory": workload(directory="/home/ana/my project"),
}


@pytest.mark.parametrize("legal", LEGAL.values(), ids=LEGAL.keys())
def test_it_may_be_submitted(legal: Workload) -> None:
    check(legal, PROJECTS, MODELS)


REFUSED: dict[str, tuple[Workload, str, str]] = {
    "no name": (workload(""), "meta.name", "no name"),
    "upper case": (workload("Frac"), "meta.name", "lower-case"),
    "an underscore": (workload("a_b"), "meta.name", "'a_b'"),
    "64 letters": (workload("a" * 64), "meta.name", "63"),
    "a hyphen last": (workload("a-"), "meta.name", "neither first nor last"),
    "a newline last": (workload("a\n"), "meta.name", "no name"),
    "digits of elsewhere": (workload("a٣"), "meta.name", "no name"),
    "no project": (workload(project=""), "meta.project", "needs a project"),
    "a project that goes": (workload(project="leaving"), "meta.project", "being deleted"),
    "no fraction": (workload(gpu_request=GpuRequest(fraction=0.0)), "spec.gpuRequest.fraction", "above 0"),
    "less than none": (workload(gpu_request=GpuRequest(fraction=-1.0)), "spec.gpuRequest.fraction", "above 0"),
    "all of it": (workload(gpu_request=GpuRequest(fraction=1.0)), "spec.gpuRequest.fraction", "below 1"),
    "more than one": (workload(gpu_request=GpuRequest(fraction=1.5)), "spec.gpuRequest.fraction", "1.5"),
    "not a number": (workload(gpu_request=GpuRequest(fraction=float("nan"))), "spec.gpuRequest.fraction", "below 1"),
    "little memory": (workload(gpu_request=GpuRequest(memory_mib=95)), "spec.gpuRequest.memoryMib", "100 MB"),
    "no memory": (workload(gpu_request=GpuRequest(memory_mib=0)), "spec.gpuRequest.memoryMib", "100 MB"),
    "two requests": (
        workload(gpu_request=GpuRequest(fraction=0.5, memory_mib=5000)),
        "spec.gpuRequest",
        "a fraction and memory",
    ),
    "other two": (
        workload(gpu_request=GpuRequest(profile="1g.5gb", memory_mib=5000)),
        "spec.gpuRequest",
        "memory and a MIG profile",
    ),
    "an unknown profile": (workload(gpu_request=GpuRequest(profile="9g.99gb")), "spec.gpuRequest.profile", "1g.5gb, "),
    "an unknown model": (workload(gpu_request=GpuRequest(model="h100")), "spec.gpuRequest.model", "A100-40GB, V100"),
    "a profile that the model has not": (
        workload(gpu_request=GpuRequest(profile="2g.10gb", model="v100")),
        "spec.gpuRequest.profile",
        "no GPU of model v100 has MIG",
    ),
    "a misspelt profile": (workload(gpu_request=GpuRequest(profile="2g.10g")), "spec.gpuRequest.profile", "2g.10gb"),
    "no devices": (workload(gpu_request=GpuRequest(devices=0)), "spec.gpuRequest.devices", "between 1"),
    "too many devices": (workload(gpu_request=GpuRequest(devices=10**9)), "spec.gpuRequest.devices", "between 1"),
    "no pods": (workload(parallelism=0), "spec.parallelism", "between 1"),
    "a flood of pods": (workload(parallelism=10**9), "spec.parallelism", "between 1"),
    "no completions": (workload(completions=0), "spec.completions", "between 1"),
    "negative retries": (workload(backoff_limit=-1), "spec.backoffLimit", "0 or more"),
    "negative life": (workload(ttl_after_finish_s=-1.0), "spec.ttlAfterFinishS", "0 or more"),
    "a digit first": (workload(environment={"1A": "x"}), "spec.environment", "'1A'"),
    "an assignment": (workload(environment={"A=B": "x"}), "spec.environment", "'A=B'"),
    "null in a value": (workload(environment={"A": "x\0y"}), "spec.environment.A", "null"),
    "null in a command": (workload(command=("sh", "x\0y")), "spec.command[1]", "null"),
    "a relative directory": (workload(directory="src"), "spec.directory", "'/'"),
}


@pytest.mark.parametrize(("refused", "field", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_by_field_and_rule(refused: Workload, field: str, rule: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(refused, PROJECTS, MODELS)
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")
    assert rule in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_unknown_project_is_not_found_and_the_others_are_listed() -> None:
    with pytest.raises(NotFound, match="team-x") as refusal:
        check(workload(project="team-x"), PROJECTS[:2], MODELS)
    assert refusal.value.hint == "projects: team-a, team-b"
    with pytest.raises(NotFound) as refusal:
        check(workload(project="team-x"), (), MODELS)
    assert "migctl project create" in refusal.value.hint


def test_a_misspelt_profile_gets_its_neighbour_as_hint() -> None:
    with pytest.raises(Invalid) as refusal:
        check(workload(gpu_request=GpuRequest(profile="2g.10g")), PROJECTS, MODELS)
    assert refusal.value.hint == "did you mean 2g.10gb?"


@pytest.mark.parametrize("said", ["a100", "A100-80GB", "a100-sxm4-40gb"])
def test_a_model_half_said_gets_its_neighbour_as_hint(said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check(workload(gpu_request=GpuRequest(model=said)), PROJECTS, MODELS)
    assert refusal.value.hint == "did you mean A100-40GB?"


def test_profiles_are_checked_once_nodes_are_known() -> None:
    unknown = workload(gpu_request=GpuRequest(profile="9g.99gb"))
    check(unknown, PROJECTS, ())
    with pytest.raises(Invalid, match="no GPU of this cluster has MIG"):
        check(unknown, PROJECTS, (catalog.find("v100"),))


@pytest.mark.parametrize(
    ("kind", "preemptible", "priority", "preempted"),
    [
        (WorkloadType.TRAINING, True, 50, True),
        (WorkloadType.DISTRIBUTED, True, 50, True),
        (WorkloadType.WORKSPACE, True, 75, True),
        (WorkloadType.WORKSPACE, False, 100, False),
        (WorkloadType.INFERENCE, True, 125, False),
        (WorkloadType.INFERENCE, False, 125, False),
    ],
)
def test_the_type_sets_the_priority(kind: WorkloadType, preemptible: bool, priority: int, preempted: bool) -> None:
    spec = ranked(workload(type=kind, preemptible=preemptible, priority=1000).spec)
    assert (spec.priority, spec.preemptible) == (priority, preempted)


@pytest.mark.parametrize(
    "change", [{"suspended": True}, {"parallelism": 2}, {"backoff_limit": 0}, {"ttl_after_finish_s": 9.0}], ids=str
)
def test_how_it_runs_may_change(change: dict[str, Any]) -> None:
    before = workload()
    check_change(before, replace(before, spec=replace(before.spec, **change)))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"gpu_request": GpuRequest(fraction=0.6)}, "spec.gpuRequest"),
        ({"type": WorkloadType.INFERENCE}, "spec.type"),
        ({"priority": 1000}, "spec.priority"),
        ({"preemptible": False}, "spec.preemptible"),
        ({"user": "eve"}, "spec.user"),
        ({"command": ("true",)}, "spec.command"),
        ({"parallelism": 0}, "spec.parallelism"),
    ],
    ids=str,
)
def test_what_it_is_may_not_change(change: dict[str, Any], field: str) -> None:
    before = workload()
    with pytest.raises(Invalid) as refusal:
        check_change(before, replace(before, spec=replace(before.spec, **change)))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "spec",
    [
        ProjectSpec(),
        ProjectSpec(quota=-1.0),
        ProjectSpec(quota=2.5, limit=2.5, over_quota_weight=0.0, priority=-3, department="research"),
        ProjectSpec(quota=0.0, limit=0.0),
        ProjectSpec(quota=-1.0, limit=4.0),
    ],
    ids=str,
)
def test_a_project_may_be(spec: ProjectSpec) -> None:
    check_project(Project(meta=Meta(name="team-a"), spec=spec))


@pytest.mark.parametrize(
    ("name", "spec", "field"),
    [
        ("Team", ProjectSpec(), "meta.name"),
        ("team-a", ProjectSpec(quota=-2.0), "spec.quota"),
        ("team-a", ProjectSpec(quota=-0.5), "spec.quota"),
        ("team-a", ProjectSpec(quota=float("nan")), "spec.quota"),
        ("team-a", ProjectSpec(quota=float("inf")), "spec.quota"),
        ("team-a", ProjectSpec(limit=-2.0), "spec.limit"),
        ("team-a", ProjectSpec(quota=2.0, limit=1.0), "spec.limit"),
        ("team-a", ProjectSpec(over_quota_weight=-1.0), "spec.overQuotaWeight"),
        ("team-a", ProjectSpec(min_runtime_s=float("nan")), "spec.minRuntimeS"),
        ("team-a", ProjectSpec(department="R&D"), "spec.department"),
    ],
)
def test_a_project_is_refused_by_field(name: str, spec: ProjectSpec, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_project(Project(meta=Meta(name=name), spec=spec))
    assert refusal.value.field == field


def test_a_project_with_workloads_stays() -> None:
    project = PROJECTS[1]
    check_removal(project, ())
    with pytest.raises(Conflict, match=r"7 workload\(s\): w0, w1, w2, w3, w4 and 2 more") as refusal:
        check_removal(project, [workload(f"w{i}") for i in range(7)])
    assert "migctl delete -p team-a w0" in refusal.value.hint


@given(
    name=st.text(max_size=5),
    fraction=st.none() | st.floats(),
    memory=st.none() | st.integers(),
    profile=st.none() | st.text(max_size=8) | st.sampled_from(["1g.5gb", "7g.40gb"]),
    devices=st.integers(),
)
def test_any_ask_is_admitted_or_refused_with_a_sentence(
    name: str, fraction: float | None, memory: int | None, profile: str | None, devices: int
) -> None:
    gpu_request = GpuRequest(fraction=fraction, memory_mib=memory, profile=profile, devices=devices)
    refusal = refusal_of(workload(name, gpu_request=gpu_request))
    if refusal is not None:
        assert refusal.field
        assert str(refusal).startswith(refusal.field)
        return
    assert sum(value is not None for value in (fraction, memory, profile)) <= 1
    assert fraction is None or 0 < fraction < 1
    assert memory is None or memory >= 96
    assert profile is None or MODELS[0].profile(profile) is not None
    assert devices >= 1


def refusal_of(submitted: Workload) -> Invalid | None:
    try:
        check(submitted, PROJECTS, MODELS)
    except Invalid as refusal:
        return refusal
    return None


@pytest.mark.parametrize("fraction", [0.00001, 0.001, 0.0023])
def test_a_fraction_has_the_floor_of_memory_on_the_largest_gpu(fraction: float) -> None:
    tiny = workload(gpu_request=GpuRequest(fraction=fraction))
    with pytest.raises(Invalid, match="less than 100 MB") as refusal:
        check(tiny, PROJECTS, MODELS)
    assert refusal.value.field == "spec.gpuRequest.fraction"
    check(tiny, PROJECTS, ())


def test_a_node_pool_that_no_node_is_in_is_refused_once_nodes_are_known() -> None:
    there = workload(pools=("a100", "v100"))
    check(there, PROJECTS, MODELS, {"a100", "v100", "default"})
    check(there, PROJECTS, MODELS, ())
    with pytest.raises(NotFound, match=r"spec\.pools: no node pool is called 'v100'") as refusal:
        check(there, PROJECTS, MODELS, {"default", "a100"})
    assert refusal.value.hint == "node pools: a100, default"


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e15])
def test_times_that_no_clock_can_count_are_refused(seconds: float) -> None:
    with pytest.raises(Invalid) as refusal:
        check(workload(ttl_after_finish_s=seconds), PROJECTS, MODELS)
    assert refusal.value.field == "spec.ttlAfterFinishS"
    with pytest.raises(Invalid):
        check_project(Project(meta=Meta(name="team-a"), spec=ProjectSpec(min_runtime_s=seconds)))


def test_a_quota_of_more_gpus_than_there_can_be_is_refused() -> None:
    with pytest.raises(Invalid, match="between 0 and 1,000,000"):
        check_project(Project(meta=Meta(name="team-a"), spec=ProjectSpec(quota=99_999_999.0)))
