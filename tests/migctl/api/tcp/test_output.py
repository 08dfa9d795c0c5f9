"""The output of a workload that is followed over REST."""

from __future__ import annotations

import httpx
import pytest

from migctl.objects import AccessToken, Role, Workload
from tests.migctl.api.tcp.conftest import Tcp
from tests.migctl.api.v1.workloads.bodies import body

pytestmark = pytest.mark.anyio


async def test_it_ends_as_soon_as_the_token_does(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    made = await tcp.http.post("/api/v1/workloads/trainings", json=body("job"), headers=headers)
    uid = made.json()["workloadId"]
    tcp.runtime.output["job"] = [b"one\n"]

    async def followed() -> None:
        async with tcp.http.stream("GET", f"/api/v1/workloads/{uid}/logs?follow=true", headers=headers) as answer:
            pieces = answer.aiter_bytes()
            assert await anext(pieces) == b"one\n"
            await tcp.behind.delete(await tcp.behind.get(AccessToken, "ci"))
            async for _ in pieces:
                pass

    with pytest.raises(httpx.TransportError):
        await followed()
    await tcp.runtime.idle.wait()


async def test_submissions_and_deletions_are_in_the_audit_trail(tcp: Tcp) -> None:
    headers = await tcp.as_("ci", Role.RESEARCHER, project="team-a")
    made = await tcp.http.post("/api/v1/workloads/trainings", json=body("job"), headers=headers)
    uid = made.json()["workloadId"]
    await tcp.http.delete(f"/api/v1/workloads/trainings/{uid}", headers=headers)
    told = [(entry.verb, entry.kind, entry.name, entry.user) for entry in tcp.told() if entry.kind == Workload.PLURAL]
    assert told == [("delete", "workloads", "job", "ci"), ("create", "workloads", "job", "ci")]
