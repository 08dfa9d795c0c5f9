"""Calls at random, made from the OpenAPI document: no 5xx, no hang, and every answer as the document says."""

from __future__ import annotations

from tests.migctl.api.v1.conftest import USERS
from tests.migctl.api.v1.random_calls import call_at_random
from tests.migctl.api.v1.serving import on_loopback

CALLS = 6


def test_any_call_is_answered_as_the_document_says() -> None:
    callers = [{"Authorization": f"Bearer {user}"} for user in (*USERS, "unknown")]
    with on_loopback() as url:
        assert call_at_random(url, lambda: callers, ("team-a", "team-b"), CALLS)
