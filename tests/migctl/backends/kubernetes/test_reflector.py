"""A reflector's sink ends up equal to the server's state, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from migctl.backends.kubernetes.cache.newest import NewestRecords
from migctl.backends.kubernetes.cache.reflector import Reflector, Timing
from migctl.backends.kubernetes.client.resources import NAMESPACES
from migctl.backends.kubernetes.meaning import record_of, records
from migctl.backends.kubernetes.stores.watching import follow
from migctl.backends.protocol import Expired
from tests.fakes.clients import client
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.faults import Call, shuffled, unreliable
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.users import ADMIN
from tests.limits import WAIT_S

pytestmark = pytest.mark.anyio

KIND = BY_PLURAL["namespaces"]
QUICK = Timing(page=3, pause_s=0.01, longest_pause_s=0.05, audit_s=1000.0)


class Watched:
    """A reflector of namespaces and what it has seen."""

    def __init__(self) -> None:
        self.reflector: Reflector[Any]
        self.records: NewestRecords[Any, records.MetadataRecord] = NewestRecords(
            record_of.bare, lambda before, after: None
        )
        self.news = asyncio.Event()

    def versions(self) -> dict[str, str]:
        return {record.name: str(record.version) for record in self.records.all.values()}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def watching(server: FakeApi, timing: Timing = QUICK) -> AsyncIterator[Watched]:
    watched = Watched()
    async with client(server) as api:
        watched.reflector = Reflector(api, NAMESPACES, watched.records, watched.news.set, timing)
        task = asyncio.create_task(watched.reflector.run())
        try:
            yield watched
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def create(server: FakeApi, name: str) -> None:
    server.operations.create(ADMIN, KIND, "", {"metadata": {"name": name}})


def label(server: FakeApi, name: str, value: str) -> None:
    patch = {"metadata": {"labels": {"v": value}}}
    server.operations.patch(ADMIN, KIND, "", name, patch, "application/merge-patch+json")


def truth(server: FakeApi) -> dict[str, str]:
    return {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in server.storage.all("namespaces")}


async def test_it_lists_in_pages_and_follows_changes(server: FakeApi) -> None:
    for i in range(10):
        create(server, f"n{i}")
    async with watching(server) as watched:
        await watched.until(lambda: watched.versions() == truth(server))
        assert watched.reflector.synced
        create(server, "late")
        label(server, "n3", "x")
        server.operations.delete(KIND, "", "n5")
        await watched.until(lambda: watched.versions() == truth(server))


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_events_may_arrive_in_pieces_cut_anywhere(server: FakeApi, piece: int) -> None:
    server.faults.piece = piece
    async with watching(server) as watched:
        await watched.until(lambda: watched.reflector.synced)
        for i in range(5):
            create(server, f"żółw-{i}")
        await watched.until(lambda: watched.versions() == truth(server))


async def test_a_cut_connection_goes_on_where_it_was(server: FakeApi) -> None:
    async with watching(server) as watched:
        await watched.until(lambda: watched.reflector.synced)
        lists = sum(call.path == "/api/v1/namespaces" and not call.watch for call in server.faults.calls)
        for i in range(5):
            create(server, f"n{i}")
            server.cut_watches()
            await watched.until(lambda: watched.versions() == truth(server))
        again = sum(call.path == "/api/v1/namespaces" and not call.watch for call in server.faults.calls)
        assert again == lists


async def test_a_version_that_is_too_old_means_a_new_list(server: FakeApi) -> None:
    async with watching(server) as watched:
        await watched.until(lambda: watched.reflector.synced)
        server.faults.down = True
        server.cut_watches()
        await watched.until(lambda: not watched.reflector.synced)
        create(server, "a")
        server.operations.delete(KIND, "", "a")
        create(server, "b")
        server.storage.compact("namespaces")
        server.faults.down = False
        await watched.until(lambda: watched.versions() == truth(server) and watched.reflector.synced)


async def test_while_the_server_is_away_it_is_not_synced_and_keeps_what_it_has(server: FakeApi) -> None:
    create(server, "a")
    async with watching(server) as watched:
        await watched.until(lambda: watched.reflector.synced)
        server.faults.down = True
        server.cut_watches()
        await watched.until(lambda: not watched.reflector.synced)
        assert set(watched.versions()) == {"a"}
        server.faults.down = False
        await watched.until(lambda: watched.reflector.synced)


async def test_a_silent_connection_counts_as_broken(server: FakeApi) -> None:
    timing = Timing(pause_s=0.01, longest_pause_s=0.05, silence_s=0.05)
    async with watching(server, timing) as watched:
        await watched.until(lambda: watched.reflector.synced)
        await watched.until(lambda: not watched.reflector.synced)
        create(server, "a")
        await watched.until(lambda: watched.versions() == truth(server))


async def test_lost_repeated_and_late_events_are_made_up_for(server: FakeApi) -> None:
    timing = Timing(page=3, pause_s=0.01, longest_pause_s=0.05, audit_s=0.2, watch_s=1.0)
    async with watching(server, timing) as watched:
        await watched.until(lambda: watched.reflector.synced)
        server.faults.events = shuffled(seed=7, rate=0.5)
        for i in range(40):
            create(server, f"n{i}")
            if i % 3 == 0:
                label(server, f"n{i}", "x")
            if i % 4 == 0:
                server.operations.delete(KIND, "", f"n{i}")
        await watched.until(lambda: watched.versions() == truth(server))


async def test_refusals_are_overcome(server: FakeApi) -> None:
    server.faults.before.append(unreliable(seed=3, rate=0.3))
    async with watching(server) as watched:
        for i in range(12):
            create(server, f"n{i}")
        await watched.until(lambda: watched.versions() == truth(server))


async def test_what_is_not_permitted_keeps_it_unsynced(server: FakeApi) -> None:
    refused: list[Call] = []

    def forbid(call: Call) -> Refused | None:
        refused.append(call)
        return Refused(403, "Forbidden", "not for you") if len(refused) < 4 else None

    server.faults.before.append(forbid)
    async with watching(server) as watched:
        await watched.until(lambda: len(refused) >= 3)
        assert not watched.reflector.synced
        await watched.until(lambda: watched.reflector.synced)


class HastyApi:
    """Ends every watch at once, as a proxy in trouble does, with `error` where there is one."""

    def __init__(self, error: Exception | None) -> None:
        self.watches = 0
        self._error = error

    async def pages(self, *_: object, **__: object) -> AsyncIterator[Any]:
        yield NAMESPACES.page.decode(b'{"metadata": {"resourceVersion": "10"}, "items": []}')

    async def watch(self, *_: object, **__: object) -> AsyncIterator[list[Any]]:
        self.watches += 1
        if self._error is not None:
            raise self._error
        yield []


async def asks_twice(api: HastyApi, task: asyncio.Task[Any]) -> None:
    """It watches a second time, and then pauses."""
    async with asyncio.timeout(WAIT_S):
        while api.watches < 2:
            await asyncio.sleep(0.001)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert api.watches == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("error", [None, Expired("too old")], ids=["ends", "expires"])
async def test_watches_that_end_at_once_are_not_asked_for_again_and_again(error: Exception | None) -> None:
    api: Any = HastyApi(error)
    timing = Timing(pause_s=WAIT_S, longest_pause_s=WAIT_S)
    records = NewestRecords[Any, Any](record_of.bare, lambda before, after: None)
    reflector = Reflector[Any](api, NAMESPACES, records, lambda: None, timing)
    task = asyncio.create_task(reflector.run())
    await asks_twice(api, task)


async def test_a_persons_watch_that_ends_at_once_is_not_asked_for_again_and_again() -> None:
    api: Any = HastyApi(None)
    task = asyncio.create_task(anext(follow(api, NAMESPACES, "10", lambda raw: raw)))
    await asks_twice(api, task)
