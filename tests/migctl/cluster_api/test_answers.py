"""Answers of the API server are shared, bounded and short-lived."""

from __future__ import annotations

import asyncio

import pytest

from migctl.backends.protocol import Unavailable
from migctl.cluster_api import answers
from migctl.cluster_api.answers import KeptAnswers
from tests.migctl.cluster_api.conftest import ManualTime

pytestmark = pytest.mark.anyio


async def test_who_asks_the_same_at_the_same_time_shares_one_answer() -> None:
    kept: KeptAnswers[int] = KeptAnswers(10.0, 8)
    asked = []

    async def ask() -> int:
        asked.append(1)
        await asyncio.sleep(0)
        return len(asked)

    assert await asyncio.gather(*(kept.of("key", ask) for _ in range(50))) == [1] * 50


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    kept: KeptAnswers[str] = KeptAnswers(10.0, 8)
    going = asyncio.Event()

    async def ask() -> str:
        await going.wait()
        return "yes"

    first, second = (asyncio.create_task(kept.of("key", ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    going.set()
    assert await second == "yes"


async def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    time = ManualTime()
    kept: KeptAnswers[float] = KeptAnswers(10.0, 8, monotonic=time)

    async def slow() -> float:
        asked = time.now
        time.now += 9.0
        return asked

    assert await kept.of("key", slow) == 0.0
    time.now += 0.5
    assert await kept.of("key", slow) == 0.0
    time.now += 1.0
    assert await kept.of("key", slow) == 10.5


async def test_answers_and_questions_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ASKED", 20)
    kept: KeptAnswers[int] = KeptAnswers(10.0, 8, at_a_time=4)
    going, most, now = asyncio.Event(), 0, 0

    async def ask() -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await going.wait()
        now -= 1
        return 1

    tasks = [asyncio.create_task(kept.of(number, ask)) for number in range(40)]
    while now < 4:
        await asyncio.sleep(0)
    going.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, Unavailable) for one in found) == 20
    assert most == 4
    assert len(kept) == 8


async def test_an_error_is_not_kept() -> None:
    kept: KeptAnswers[int] = KeptAnswers(10.0, 8)

    async def fails() -> int:
        raise Unavailable("away")

    async def answers_() -> int:
        return 7

    with pytest.raises(Unavailable):
        await kept.of("key", fails)
    assert await kept.of("key", answers_) == 7
