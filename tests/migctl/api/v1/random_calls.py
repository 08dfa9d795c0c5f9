"""Calls at random, made from an API's OpenAPI document, some of them about what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, not_a_server_error
from schemathesis.core.result import Ok

from tests.limits import WAIT_S

ENDLESS = ("/watch",)
"""Streams: they have tests of their own."""
ANSWERS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
IDS = {"projectId": "projects", "clusterId": "clusters"}
"""Fields of bodies that name what there is, and what that is."""

Known = Mapping[str, Sequence[str]]
"""Ids and names of what there is, by what it is."""
Headers = Mapping[str, str]


def call_at_random(
    url: str, sign_in: Callable[[], Sequence[Headers]], projects: Sequence[str], calls: int, start: int = 0
) -> int:
    """Call each operation of the API so often, as any of these callers; the number of calls.

    Every answer is none of 5xx, comes within WAIT_S, and is as the document says.

    sign_in   headers of each caller; the first is an admin. Before each operation: calls at random end sessions, too
    projects  names of those there are
    start     seed of what is drawn
    """
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks: list[Any] = [not_a_server_error, *CHECKS.get_by_names(ANSWERS)]
    made = 0
    for result in document.get_all_operations():
        assert isinstance(result, Ok), result.err()
        if result.ok().path not in ENDLESS:
            headers = sign_in()
            made += _call(result.ok(), url, headers, known(url, headers[0], projects), calls, start, checks)
    return made


def _call(
    operation: Any, url: str, headers: Sequence[Headers], there: Known, calls: int, start: int, checks: list[Any]
) -> int:
    """Call one operation so often at most; how often it was called."""
    made = 0

    @seed(start)
    @settings(max_examples=calls, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), caller=st.sampled_from(headers), data=st.data())
    def call(case: schemathesis.Case[Any], caller: Headers, data: st.DataObject) -> None:
        nonlocal made
        made += 1
        _about_what_is_there(case, data, there)
        case.call_and_validate(base_url=url, headers=dict(caller), timeout=WAIT_S, checks=checks)

    call()
    return made


def known(url: str, admin: Headers, projects: Sequence[str]) -> Known:
    """What there is now."""
    with httpx.Client(base_url=url, headers=dict(admin), timeout=WAIT_S) as client:
        clusters = client.get("/clusters").json()
        workloads = client.get("/workloads?limit=50").json()["workloads"]
    return {
        "clusters": [one["uuid"] for one in clusters],
        "projects": projects,
        "workloads": [one["id"] for one in workloads],
    }


def _about_what_is_there(case: schemathesis.Case[Any], data: st.DataObject, there: Known) -> None:
    """Put ids of what there is in place of some that were drawn."""
    every = [text for texts in there.values() for text in texts]
    for name in case.path_parameters or {}:
        if name.endswith("_id") and data.draw(st.booleans()):
            fitting = there.get(f"{name.removesuffix('_id')}s") or every
            case.path_parameters[name] = data.draw(st.sampled_from(fitting))
    for body in _objects(case.body):
        for field, kind in IDS.items():
            if field in body and there[kind] and data.draw(st.booleans()):
                body[field] = data.draw(st.sampled_from(there[kind]))


def _objects(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
