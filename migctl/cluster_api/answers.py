"""Answers of somebody else, kept for seconds, in bounded number; who asks the same at the same time shares one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from migctl.backends.protocol import Unavailable

Answer = TypeVar("Answer")

MAX_ASKED = 4096
"""Questions under way; more are told to come again."""


class KeptAnswers(Generic[Answer]):
    """Answers by key. An error is nobody's answer: it is not kept.

    kept_s     how long an answer counts
    most       answers kept: the one that was used longest ago goes first
    at_a_time  questions that are put at the same time
    """

    def __init__(
        self, kept_s: float, most: int, at_a_time: int = 32, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._kept_s = kept_s
        self._most = most
        self._monotonic = monotonic
        self._turns = asyncio.Semaphore(at_a_time)
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._asked: dict[Hashable, asyncio.Task[Answer]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def of(self, key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer kept for a key, or else what is answered now. Raises what `ask` raises, and Unavailable."""
        kept = self._kept.get(key)
        if kept is not None and self._monotonic() < kept[0]:
            self._kept.move_to_end(key)
            return kept[1]
        asked = self._asked.get(key)
        if asked is None:
            if len(self._asked) >= MAX_ASKED:
                raise Unavailable("too many ask at once who they are and what they may", hint="try again in a moment")
            asked = self._asked[key] = asyncio.ensure_future(self._answered(key, ask))
            asked.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(asked)

    async def _answered(self, key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._turns:
            began = self._monotonic()
            answer = await ask()
        self._kept[key] = (began + self._kept_s, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return answer

    def _over(self, key: Hashable, done: asyncio.Task[Answer]) -> None:
        self._asked.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited has it; if nobody did, it is nobody's
