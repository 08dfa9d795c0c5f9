"""One candidate for the Lease: what it does when another is quicker, and when answers and the Lease itself are lost."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from migctl.backends.protocol import Conflict
from migctl.clock import system_clock
from migctl.controller.kubernetes.leader_election import LeaderElector, LeaseTiming
from tests.fakes.clients import client
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.faults import Call, Cut
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.server import FakeApi
from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_api.users import ADMIN
from tests.limits import WAIT_S

pytestmark = pytest.mark.anyio

LEASES = BY_PLURAL["leases"]
NAMESPACE, NAME = "migctl-system", "migctl-controller"
TIMING = LeaseTiming(duration_s=2 * WAIT_S, step_down_s=WAIT_S, renew_s=0.01)
"""Looks often; only the test's own clock lets a lease run out."""


@dataclass
class Election:
    """A server and one candidate, "one", whose monotonic clock the test moves. `led`: how often it was elected."""

    server: FakeApi
    now: float = 0.0
    led: int = 0
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    fails: Exception | None = None
    elector: LeaderElector = field(init=False)
    task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.elector.run(self.lead))

    async def end(self) -> None:
        """Stop the candidate as its process does."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def lead(self) -> None:
        self.led += 1
        await self.ends.wait()
        self.ends.clear()
        if self.fails is not None:
            raise self.fails

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                await asyncio.sleep(0.001)

    async def looks(self, times: int = 3) -> None:
        """Wait until the candidate has read the Lease some times more."""
        seen = self.requests("GET")
        await self.until(lambda: self.requests("GET") >= seen + times)

    async def renews(self, times: int = 3) -> None:
        seen = self.requests("PATCH")
        await self.until(lambda: self.requests("PATCH") >= seen + times)

    def requests(self, method: str) -> int:
        return sum(call.method == method for call in self.server.faults.calls)

    @property
    def lease(self) -> Json | None:
        return self.server.storage.get("leases", NAMESPACE, NAME)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    def hold(self, holder: str) -> None:
        """Somebody else makes this one the holder."""
        spec = {"holderIdentity": holder, "leaseDurationSeconds": round(TIMING.duration_s)}
        if self.lease is None:
            metadata = {"name": NAME, "namespace": NAMESPACE}
            self.server.operations.create(ADMIN, LEASES, NAMESPACE, {"metadata": metadata, "spec": spec})
        else:
            held = copied(self.lease)
            held["spec"].update(spec)
            self.server.operations.change(ADMIN, LEASES, self.lease, held)

    def remove(self) -> None:
        self.server.operations.delete(LEASES, NAMESPACE, NAME)

    def at_next(self, method: str, act: Callable[[], None]) -> None:
        """Do something when the candidate's next request of this method arrives, before it is carried out."""

        def fault(call: Call) -> Refused | None:
            if call.method == method:
                self.server.faults.before.remove(fault)
                act()
            return None

        self.server.faults.before.append(fault)

    def refuse(self, method: str) -> None:
        """Answer no request of this method from now on."""

        def fault(call: Call) -> Refused | None:
            return Refused(503, "ServiceUnavailable", "apiserver is shutting down") if call.method == method else None

        self.server.faults.before.append(fault)


@asynccontextmanager
async def election() -> AsyncIterator[Election]:
    """A candidate that does nothing before `start`."""
    async with FakeApi().serving() as server, client(server) as api:
        server.operations.create(ADMIN, BY_PLURAL["namespaces"], "", {"metadata": {"name": NAMESPACE}})
        one = Election(server)
        one.elector = LeaderElector(api, NAMESPACE, NAME, "one", system_clock, TIMING, lambda: one.now)
        try:
            yield one
        finally:
            await one.end()


@asynccontextmanager
async def leader() -> AsyncIterator[Election]:
    """A candidate that has been elected."""
    async with election() as one:
        one.start()
        await one.until(lambda: one.led == 1)
        yield one


async def test_the_only_candidate_makes_the_lease_and_releases_it_when_it_ends() -> None:
    async with leader() as one:
        assert one.holder == "one"
        await one.end()
        assert (one.holder, one.elector.leading) == ("", False)


async def test_two_that_make_the_lease_at_once_do_not_both_lead() -> None:
    async with election() as one:
        one.at_next("POST", lambda: one.hold("two"))
        one.start()
        await one.looks()
        assert (one.led, one.holder) == (0, "two")


async def test_two_that_take_an_abandoned_lease_at_once_do_not_both_lead() -> None:
    async with election() as one:
        one.hold("")
        one.at_next("PATCH", lambda: one.hold("two"))
        one.start()
        await one.looks()
        assert (one.led, one.holder) == (0, "two")


async def test_a_lease_that_does_not_change_for_its_duration_is_taken() -> None:
    async with election() as one:
        one.hold("two")
        one.start()
        await one.looks()
        assert one.led == 0
        one.now = TIMING.duration_s
        await one.until(lambda: one.led == 1)
        lease = one.lease
        assert lease is not None
        assert (one.holder, lease["spec"]["leaseTransitions"]) == ("one", 1)


async def test_a_candidate_waits_for_a_server_that_is_away() -> None:
    async with election() as one:
        one.server.faults.down = True
        one.start()
        await one.looks()
        assert not one.elector.leading
        one.server.faults.down = False
        await one.until(lambda: one.led == 1)


async def test_a_leader_whose_renewal_was_carried_out_and_never_answered_goes_on() -> None:
    async with leader() as one:

        def lose_the_answer() -> None:
            raise Cut(done=True)

        one.at_next("PATCH", lose_the_answer)
        await one.renews(5)
        assert (one.led, one.elector.leading, one.holder) == (1, True, "one")


@pytest.mark.parametrize("reread", [True, False], ids=["and reads so", "and cannot read it"])
async def test_a_leader_whose_lease_another_took_stops_at_once(reread: bool) -> None:
    async with leader() as one:
        if not reread:
            one.refuse("GET")
        one.hold("two")
        await one.until(lambda: not one.elector.leading)
        await one.looks()
        assert (one.led, one.holder) == (1, "two")


async def test_a_leader_whose_lease_was_deleted_stops_and_stands_again() -> None:
    async with leader() as one:
        one.remove()
        await one.until(lambda: one.led == 2)
        assert one.holder == "one"


async def test_a_leader_that_cannot_renew_goes_on_until_it_must_step_down() -> None:
    async with leader() as one:
        one.refuse("PATCH")
        await one.renews()
        assert one.elector.leading
        one.now = TIMING.step_down_s + 1
        await one.until(lambda: not one.elector.leading)


async def test_a_leader_that_ends_leaves_a_lease_alone_that_is_not_its_own() -> None:
    async with leader() as one:
        one.at_next("GET", lambda: one.hold("two"))
        await one.end()
        assert one.holder == "two"


async def test_a_leader_that_cannot_release_its_lease_ends_all_the_same() -> None:
    async with leader() as one:
        one.refuse("PATCH")
        await one.end()
        assert (one.holder, one.elector.leading) == ("one", False)


async def test_a_leader_whose_work_has_ended_stands_again() -> None:
    async with leader() as one:
        one.ends.set()
        await one.until(lambda: one.led == 2)


async def test_a_leader_whose_work_fails_says_so_and_leads_no_more() -> None:
    async with leader() as one:
        one.fails = RuntimeError("the work failed")
        one.ends.set()
        assert one.task is not None
        with pytest.raises(RuntimeError, match="the work failed"):
            await one.task
        assert not one.elector.leading


class HangingApi:
    """Answers until `hangs` is set: then the verbs that it names are never answered, and writes meet a conflict."""

    def __init__(self) -> None:
        self.hangs: frozenset[str] = frozenset()
        self._versions = itertools.count(1)

    async def get(self, *_: object) -> bytes:
        return await self._answer("get", "")

    async def patch(self, *_: object) -> bytes:
        return await self._answer("patch", "one")

    async def _answer(self, verb: str, holder: str) -> bytes:
        if verb in self.hangs:
            await asyncio.Event().wait()
        if self.hangs:
            raise Conflict("somebody took it")
        metadata = {"name": NAME, "uid": "u", "resourceVersion": str(next(self._versions))}
        return json.dumps({"metadata": metadata, "spec": {"holderIdentity": holder}}).encode()


@pytest.mark.parametrize("hangs", ["get", "patch"], ids=["the reading after a conflict", "the renewal itself"])
async def test_a_leader_steps_down_in_time_whatever_hangs(hangs: str) -> None:
    """A renewal met a conflict, reading the Lease hung, and the leader went on for 12 s past its time."""
    api: Any = HangingApi()
    timing = LeaseTiming(duration_s=2 * WAIT_S, step_down_s=0.2, renew_s=0.01)
    one = Election(FakeApi())
    one.elector = LeaderElector(api, NAMESPACE, NAME, "one", system_clock, timing)
    one.start()
    await one.until(lambda: one.elector.leading)
    api.hangs = frozenset({hangs})
    await one.until(lambda: not one.elector.leading)
    await one.end()
