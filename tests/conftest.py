"""Fixtures for every test."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the code.
settings.register_profile("migctl", deadline=None)
settings.load_profile("migctl")

# Whoever starts the tests in the background has SIGINT ignored, and so would they and all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio."""
    return "asyncio"
