"""What the routes may ask of the service."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from migctl.access.rights import Verb
from migctl.objects import Project, Workload
from tests.migctl.api.v1.conftest import USERS, Served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("user", USERS)
async def test_a_door_tells_what_its_caller_may_do_before_he_tries(served: Served, user: str) -> None:
    request = Request({"type": "http", "headers": [(b"authorization", f"Bearer {user}".encode())]})
    door = await served.service.door(request)
    submits = user in ("admin", "department-admin", "project-admin", "researcher", "colleague")
    assert await door.may(Verb.CREATE, Workload.PLURAL, "team-a") == submits
    assert await door.may(Verb.UPDATE, Project.PLURAL, "team-a") == (user.endswith("admin"))
    assert await door.may(Verb.CREATE, Project.PLURAL) == (user == "admin")
