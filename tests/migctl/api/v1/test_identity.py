"""Who the caller is."""

from __future__ import annotations

import pytest

from tests.migctl.api.v1.conftest import CLUSTER, Served

pytestmark = pytest.mark.anyio


async def test_the_caller_is_told_who_he_is_and_what_he_may_do(served: Served) -> None:
    told = (await served["department-admin"].get("/me")).json()
    assert told["user"] == "department-admin"
    assert told["roles"] == [{"role": "department-admin", "project": "", "department": "research"}]


async def test_without_a_valid_token_it_is_401_with_the_way_to_one(served: Served) -> None:
    answer = await served["unknown"].get("/me")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(answer.json()) == {"code", "message", "details"}


async def test_clusters_are_a_bare_list(served: Served) -> None:
    assert (await served["viewer"].get("/clusters")).json() == [
        {"uuid": CLUSTER.uid, "name": CLUSTER.name, "state": "Connected"}
    ]


async def test_a_path_that_does_not_exist_is_a_404_with_a_body(served: Served) -> None:
    answer = await served["admin"].get("/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, 404)
