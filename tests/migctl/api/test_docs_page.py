"""The interactive page of the REST API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app
from migctl.api.v1.app import create_v1
from migctl.api.v1.authentication import authenticated
from migctl.api.v1.service import ApiService
from migctl.backends.mirror import Mirror
from migctl.clock import system_clock
from tests.fakes.control_plane import MemoryControlPlane
from tests.fakes.runtime import FakeRuntime
from tests.migctl.api.v1.conftest import CLUSTER

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    behind = AdmittingControlPlane(MemoryControlPlane())
    service = ApiService(behind, Mirror(behind), FakeRuntime(), CLUSTER, authenticated, system_clock)
    app = create_app(behind, FakeRuntime(), v1=create_v1(service))
    async with httpx.AsyncClient(base_url="http://migctl", transport=httpx.ASGITransport(app)) as client:
        yield client


async def test_all_that_the_page_loads_is_served_by_us(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        assert "//" not in path
        answer = await browser.get(f"/{path}")
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff"), path
    (document,) = re.findall(r'url: "\.([^"]+)"', (await browser.get("/docs/start.js")).text)
    assert (await browser.get(document)).json()["openapi"].startswith("3.1")
    assert "default-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2F__init__.py", "%2Fetc%2Fpasswd", "nothing"])
async def test_nothing_else_is_served(browser: httpx.AsyncClient, name: str) -> None:
    assert (await browser.get(f"/docs/{name}")).status_code == 404
