"""A fake API server and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.kubernetes_api.server import FakeApi


@pytest.fixture
async def server() -> AsyncIterator[FakeApi]:
    async with FakeApi().serving() as fake:
        yield fake
