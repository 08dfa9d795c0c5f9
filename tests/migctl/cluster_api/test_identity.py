"""Who a caller is: his token is the API server's to judge."""

from __future__ import annotations

import pytest

from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.users import jwt
from tests.migctl.cluster_api.conftest import CI, ServedCluster

pytestmark = pytest.mark.anyio


async def test_a_caller_is_who_his_token_is(served: ServedCluster) -> None:
    told = (await served["ci"].get("/me")).json()
    assert told["user"] == "system-serviceaccount-team-a-ci", "as the label of his workloads has it"
    assert told["through"] == "service account team-a/ci"
    assert told["expiresAt"] == "2100-01-01T00:00:00Z"
    assert (await served["editor"].get("/me")).json()["through"] == "a token of editor"


async def test_the_cluster_is_known_by_what_stays_as_long_as_it_does(served: ServedCluster) -> None:
    namespace = served.cluster.get("namespaces", "kube-system")
    assert namespace is not None
    (told,) = (await served["nobody"].get("/clusters")).json()
    assert (told["uuid"], told["name"]) == (namespace["metadata"]["uid"], "here")


async def test_without_a_token_and_with_a_wrong_one_it_is_401(served: ServedCluster) -> None:
    served.cluster.server.tokens.ended.add("stolen")
    for sent in ("", "Basic YTpi", "Bearer stolen", "Bearer ä b", "Bearer", f"Bearer {'a' * 20_000}"):
        answer = await served["unknown"].get("/me", headers=[(b"authorization", sent.encode())])
        assert answer.status_code == 401, sent
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_is_reviewed_once_in_a_while_not_with_each_request(served: ServedCluster) -> None:
    reviewed = served.cluster.server.tokens.reviewed
    for _ in range(5):
        assert (await served["editor"].get("/me")).status_code == 200
    assert reviewed.count("editor") == 1
    served.passed()
    assert (await served["editor"].get("/me")).status_code == 200
    assert reviewed.count("editor") == 2


async def test_a_wrong_token_is_not_asked_about_again_and_again(served: ServedCluster) -> None:
    served.cluster.server.tokens.ended.add("stolen")
    for _ in range(5):
        await served["unknown"].get("/me", headers={"Authorization": "Bearer stolen"})
    assert served.cluster.server.tokens.reviewed.count("stolen") == 1


async def test_a_token_that_ended_does_not_count_any_more(served: ServedCluster) -> None:
    assert (await served["editor"].get("/me")).status_code == 200
    served.cluster.server.tokens.ended.add("editor")
    served.passed()
    assert (await served["editor"].get("/me")).status_code == 401


async def test_answers_about_tokens_are_bounded_in_number(served: ServedCluster) -> None:
    served.service.reviews.tokens._most = 10
    for number in range(50):
        token = jwt(CI, jti=number)
        assert (await served["unknown"].get("/me", headers={"Authorization": f"Bearer {token}"})).status_code == 200
    assert len(served.service.reviews.tokens) == 10


async def test_without_an_answer_nobody_is_anybody(served: ServedCluster) -> None:
    served.cluster.server.faults.before.append(
        lambda call: Refused(500, "InternalError", "etcd is away") if call.path.endswith("/tokenreviews") else None
    )
    answer = await served["admin"].get("/me")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    served.cluster.server.faults.before.clear()
    assert (await served["admin"].get("/me")).status_code == 200, "no answer is not kept"
