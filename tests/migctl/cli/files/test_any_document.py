"""Whatever a document says, it is applied or refused in words; where it is refused, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migctl.cli.failures import ExitCode
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.files.written import JOB, POD, typed

STATEFUL_SET = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "train", "namespace": "team-a", "labels": {"runai/queue": "team-a"}},
    "spec": {"replicas": 1, "selector": {}, "template": JOB["spec"]["template"]},
}
FULL_POD: dict[str, Any] = {
    **POD,
    "metadata": {"name": "p", "annotations": {"nvidia.com/container.main.gpu-memory.request": "5Gi"}},
    "spec": {
        "priorityClassName": "train",
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one"}],
        "containers": [
            {
                "name": "main",
                "command": ["sh", "$(A)"],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": 1, "nvidia.com/gpu": 1}, "claims": [{"name": "gpu"}]},
            }
        ],
    },
}
TEMPLATE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "one"},
    "spec": {"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "gpu.migctl.dev", "count": 1}}]}}},
}
OURS = {
    "apiVersion": "migctl.dev/v1alpha1",
    "kind": "Workload",
    "meta": {"name": "w", "labels": {"a": "b"}},
    "spec": {"type": "training", "gpuRequest": {"fraction": 0.5}, "command": ["a"], "environment": {"A": "1"}},
}
PROJECT = {
    "apiVersion": "migctl.dev/v1alpha1",
    "kind": "Project",
    "metadata": {"name": "team-c"},
    "spec": {"quota": 1, "pools": {"default": {"quota": 1}}},
}
DOCUMENTS = {"kind": "List", "items": [PROJECT, JOB, STATEFUL_SET, FULL_POD, TEMPLATE, OURS]}
ANY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=5),
        st.sampled_from(["0.5", "team-a", "team-b", "Job", "List", "v1", "main", "$(A)", "-1", "1e9", "9" * 400]),
    ),
    lambda inside: st.one_of(st.lists(inside, max_size=2), st.dictionaries(st.text(max_size=5), inside, max_size=2)),
    max_leaves=3,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*path, key)
        yield from places(part, (*path, key))


PLACES = list(places(DOCUMENTS))


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Documents in which a thing or two are something else, are gone, or are somewhere else."""
    made: Any = deepcopy(DOCUMENTS)
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=2)):
        at = made
        try:
            for key in path[:-1]:
                at = at[key]
            if draw(st.booleans()):
                at[path[-1]] = draw(ANY)
            elif isinstance(at, dict) and draw(st.booleans()):
                at[draw(st.text(max_size=5))] = at.pop(path[-1])
            else:
                del at[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the place of the second away
    return made


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda cli, text, *words: typed(cli, monkeypatch, text, *words)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=documents())
def test_any_document_is_applied_or_refused_in_words(machine: Cli, pasted: Any, made: Any) -> None:
    text = json.dumps(made)
    for words in (("diff", "-f", "-"), ("apply", "--dry-run", "-f", "-")):
        result = pasted(machine, text, *words)
        assert "defect" not in result.err, result
        assert "Traceback" not in result.err, result
    before = machine.ok("list", "-A", "-o", "name").out
    result = pasted(machine, text, "apply", "-f", "-")
    assert "defect" not in result.err, result
    if result.code:
        assert result.code in (ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.CONFLICT), result
        assert (result.out, machine.ok("list", "-A", "-o", "name").out) == ("", before), result
    else:
        assert pasted(machine, text, "delete", "-f", "-").code == 0
