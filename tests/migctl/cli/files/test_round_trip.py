"""Applying what -o yaml or -o json prints of an object of ours changes nothing, or makes it again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from migctl import admission
from migctl.objects import (
    Department,
    DepartmentSpec,
    GangSpec,
    GpuRequest,
    Meta,
    NodePool,
    NodePoolSpec,
    PoolQuota,
    Project,
    ProjectSpec,
    Workload,
    WorkloadSpec,
    WorkloadType,
)
from solver.model.snapshot import MemoryRule, Spreading
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.files.written import typed

NAME = "it"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
VARIABLES = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), TEXTS, max_size=3)
LABELS = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), st.from_regex(r"[A-Za-z0-9.]{0,8}", fullmatch=True), max_size=2
).filter(lambda labels: all(text == text.strip(".") for text in labels.values()))
AMOUNTS = st.one_of(st.just(-1.0), st.floats(0, 100, allow_nan=False))
REQUESTS = st.one_of(
    st.builds(GpuRequest, fraction=st.floats(0.1, 0.9), devices=st.integers(1, 2)),
    st.builds(GpuRequest, memory_mib=st.integers(1000, 20_000)),
    st.builds(GpuRequest, profile=st.sampled_from(["1g.5gb", "2g.10gb"])),
    st.builds(GpuRequest, devices=st.integers(1, 4), model=st.sampled_from([None, "A100-40GB"])),
)
SPECS = st.builds(
    WorkloadSpec,
    type=st.sampled_from(WorkloadType),
    gpu_request=REQUESTS,
    image=TEXTS,
    command=st.lists(TEXTS, max_size=3).map(tuple),
    entrypoint=st.booleans(),
    environment=VARIABLES,
    user=st.sampled_from(["ada", "bo"]),
    preemptible=st.booleans(),
    movable=st.booleans(),
    parallelism=st.integers(1, 4),
    completions=st.one_of(st.none(), st.integers(1, 9)),
    backoff_limit=st.integers(0, 9),
    ttl_after_finish_s=st.one_of(st.none(), st.floats(0, 1e6)),
    suspended=st.booleans(),
    directory=st.sampled_from(["", "/srv", "/tmp/a b: c"]),
    pools=st.sampled_from([(), ("default",)]),
    gang=st.sampled_from([None, GangSpec(size=1, domain="rack", required=False)]),
).map(admission.ranked)
QUOTAS = {"quota": st.floats(0, 10), "over_quota_weight": st.floats(0, 9), "priority": st.integers(-5, 5)}
POOLS = st.sampled_from([{}, {"default": PoolQuota(quota=1.5, limit=3)}])
MADE = st.one_of(
    st.builds(Workload, meta=LABELS.map(lambda labels: Meta(name=NAME, project="team-a", labels=labels)), spec=SPECS),
    st.builds(
        Project,
        meta=LABELS.map(lambda labels: Meta(name=NAME, labels=labels)),
        spec=st.builds(ProjectSpec, **QUOTAS, pools=POOLS, min_runtime_s=st.floats(0, 1e5)),
    ),
    st.builds(Department, meta=st.just(Meta(name=NAME)), spec=st.builds(DepartmentSpec, **QUOTAS, pools=POOLS)),
    st.builds(
        NodePool,
        meta=st.just(Meta(name=NAME)),
        spec=st.builds(
            NodePoolSpec,
            placement=st.sampled_from(Spreading),
            memory_rule=st.sampled_from(MemoryRule),
            label_key=st.sampled_from(["", "gpu"]),
        ),
    ),
)


A_NEXT_LINE = Workload(
    meta=Meta(name=NAME, project="team-a"),
    spec=WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(), image="a\x85b", user="ada"),
)
"""PyYAML wrote it so that it came back with a space."""


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda cli, text, *words: typed(cli, monkeypatch, text, *words)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=MADE, as_json=st.booleans())
@example(made=A_NEXT_LINE, as_json=False)
def test_what_is_printed_of_an_object_is_the_object(machine: Cli, pasted: Any, made: Any, as_json: bool) -> None:
    stored = machine.do(lambda cluster: cluster.create(made))
    try:
        printed = _printed(machine, stored, as_json)
        unchanged = pasted(machine, printed, "apply", "-f", "-")
        assert (unchanged.code, unchanged.out.split()[1:]) == (0, ["unchanged"]), unchanged
        assert pasted(machine, printed, "diff", "-f", "-").code == 0
    finally:
        machine.do(lambda cluster: cluster.delete(stored))
    assert pasted(machine, printed, "diff", "-f", "-").code == 1
    again = pasted(machine, printed, "apply", "-f", "-")
    assert (again.code, again.out.split()[1:]) == (0, ["created"]), again
    remade = machine.do(lambda cluster: cluster.get(type(made), NAME, made.meta.project))
    machine.do(lambda cluster: cluster.delete(remade))
    assert remade.spec == stored.spec
    assert replace(remade.meta, uid="", version="", created=None) == replace(
        stored.meta, uid="", version="", created=None
    )


def _printed(machine: Cli, stored: Any, as_json: bool) -> str:
    """By the command that shows such an object, where one does."""
    form = "json" if as_json else "yaml"
    if isinstance(stored, Workload):
        return machine.ok("describe", NAME, "-p", "team-a", "-o", form).out
    if isinstance(stored, Project | Department):
        return machine.ok(type(stored).__name__.lower(), "describe", NAME, "-o", form).out
    noun = "node-pool"
    listed = yaml.safe_load(machine.ok(noun, "list", "-o", form).out)
    found = next(item for item in listed["items"] if item["meta"]["name"] == NAME)
    return json.dumps(found) if as_json else yaml.safe_dump(found)
