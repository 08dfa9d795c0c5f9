"""Calls at random, made from the OpenAPI document: no 5xx, no hang, and every answer as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, not_a_server_error
from schemathesis.core.result import Ok

from tests.limits import WAIT_S
from tests.migctl.api.v1.conftest import USERS
from tests.migctl.api.v1.serving import on_loopback

ENDLESS = ("/watch",)
"""Streams: they have tests of their own."""
ANSWERS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
CALLS = 25


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with on_loopback() as url:
        yield url


def test_any_call_is_answered_as_the_document_says(url: str) -> None:
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks: list[Any] = [not_a_server_error, *CHECKS.get_by_names(ANSWERS)]
    called = 0
    for result in document.get_all_operations():
        assert isinstance(result, Ok), result.err()
        operation = result.ok()
        if operation.path in ENDLESS:
            continue

        @settings(max_examples=CALLS, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(), user=st.sampled_from([*USERS, "unknown"]))
        def call(case: schemathesis.Case[Any], user: str) -> None:
            nonlocal called
            called += 1
            case.call_and_validate(
                base_url=url, headers={"Authorization": f"Bearer {user}"}, timeout=WAIT_S, checks=checks
            )

        call()
    assert called
