"""Merge patches: RFC 7396's own cases and the way from a difference back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from migctl.backends.merge import difference, merge
from migctl.objects import Workload, decode, encode
from tests.migctl.backends.contract import samples

RFC_7396_APPENDIX_A: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_APPENDIX_A, ids=str)
def test_the_cases_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


texts = st.text("abc", min_size=1, max_size=2)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    sample = samples.workload()
    spec = replace(
        sample.spec,
        environment=draw(st.dictionaries(texts, texts, max_size=3)),
        command=tuple(draw(st.lists(texts, max_size=3))),
        ttl_after_finish_s=draw(st.none() | st.floats(0, 10)),
        priority=draw(st.integers(0, 125)),
    )
    return replace(sample, spec=spec, meta=replace(sample.meta, labels=draw(st.dictionaries(texts, texts, max_size=3))))


@given(workloads(), workloads())
def test_a_difference_leads_from_one_object_to_the_other(before: Workload, after: Workload) -> None:
    merged = merge(json.loads(encode(before)), difference(before, after))
    assert decode(json.dumps(merged), Workload) == after
    assert (difference(before, after) == {}) == (before == after)
