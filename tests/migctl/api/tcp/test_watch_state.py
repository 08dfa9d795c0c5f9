"""Whatever happens and however often a client loses its stream: what it was told makes the list."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest

from migctl.backends.protocol import ControlPlaneError
from migctl.objects import (
    Claim,
    ClaimSpec,
    Department,
    DepartmentSpec,
    Event,
    EventSpec,
    GpuNode,
    GpuRequest,
    Meta,
    NodePool,
    NodePoolSpec,
    Phase,
    Project,
    ProjectSpec,
    Role,
    Workload,
    WorkloadSpec,
    WorkloadType,
)
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare, Grant
from tests.migctl.api.tcp.conftest import Tcp
from tests.migctl.api.tcp.streams import Told, watching

pytestmark = pytest.mark.anyio

LISTS = {"workloads": "workloads", "projects": "org-unit/projects", "nodes": "nodes", "events": "events"}
USERS: dict[str, tuple[Role, dict[str, str]]] = {
    "admin": (Role.ADMIN, {}),
    "department-admin": (Role.DEPARTMENT_ADMIN, {"department": "research"}),
    "researcher": (Role.RESEARCHER, {"project": "team-a"}),
    "outsider": (Role.VIEWER, {"project": "team-b"}),
}
PROJECTS = ("team-a", "team-b", "team-c", "team-d")
STEPS = 120
LOOK_AGAIN_S = 0.5
"""How long it waits for news before it lists again: a list may have been older than the stream."""


@dataclass
class Client:
    """Follows a stream, and breaks it off now and then. state: what it was told that there is, by kind and id."""

    http: httpx.AsyncClient
    headers: dict[str, str]
    rng: Random
    state: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in LISTS})
    last: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            async with watching(self.http, self.headers, self.last, kinds=",".join(LISTS)) as events:
                await self._read(events, self.rng.randrange(1, 5))

    async def _read(self, events: AsyncIterator[Told], most: int) -> None:
        first = await anext(events)
        assert first.name == "ready", first
        self.last = first.id
        self.ready.set()
        for _ in range(most):
            self.take(await anext(events))

    def take(self, told: Told) -> None:
        assert told.name == "message", told
        self.last = told.id
        there, obj = self.state[told.data["kind"]], told.data["object"]
        known = obj["id"] in there
        assert known == (told.data["type"] != "ADDED"), f"doubled or lost: {told}"
        if told.data["type"] == "DELETED":
            del there[obj["id"]]
        else:
            there[obj["id"]] = obj
        self.news.set()

    async def listed(self) -> dict[str, dict[str, Any]]:
        found = {}
        for kind, path in LISTS.items():
            answer = await self.http.get(f"/api/v1/{path}?limit=500", headers=self.headers)
            found[kind] = {one["id"]: one for one in answer.raise_for_status().json()[kind]}
        return found

    async def knows_all(self) -> None:
        """Wait until what it was told is what is listed."""
        while True:
            self.news.clear()
            if await self.listed() == self.state:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self.news.wait()


class Happening:
    """Changes at random."""

    def __init__(self, tcp: Tcp, rng: Random) -> None:
        self._tcp = tcp
        self._rng = rng
        self._count = 0

    async def step(self) -> None:
        with contextlib.suppress(ControlPlaneError):
            await self._rng.choice(self._steps)(self)
        if self._rng.random() < 0.3:
            await self._tcp.settled()

    async def submit(self) -> None:
        self._count += 1
        project = self._rng.choice((await self._tcp.behind.list(Project)).items).meta.name
        spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(fraction=0.5), user="somebody")
        await self._tcp.behind.create(Workload(meta=Meta(name=f"job-{self._count}", project=project), spec=spec))

    async def place(self) -> None:
        workload = await self._any(Workload)
        spec = ClaimSpec(
            workload=workload.meta.name, workload_uid=workload.meta.uid, gpu_request=GpuRequest(fraction=0.5)
        )
        meta = Meta(name=f"{workload.meta.name}-0", project=workload.meta.project)
        claim = await self._tcp.behind.create(Claim(meta=meta, spec=spec))
        held = Grant("node-1", (DeviceShare("GPU-1", Backing.SOFTWARE, 0.5, 8080),))
        await self._tcp.behind.patch(claim, {"status": {"phase": Phase.RUNNING, "allocation": held}})
        names = f"beside {self._rng.choice(PROJECTS)}/{workload.meta.name}"
        await self._tcp.behind.patch(workload, {"status": {"phase": Phase.RUNNING, "message": names}})

    async def end(self) -> None:
        await self._tcp.behind.delete(await self._any(self._rng.choice((Workload, Claim))))

    async def move(self) -> None:
        department = self._rng.choice((None, "research", "other"))
        await self._tcp.behind.patch(await self._any(Project), {"spec": {"department": department}})

    async def found(self) -> None:
        """A project that is new; one that was, perhaps."""
        await self._tcp.behind.create(
            Project(meta=Meta(name=self._rng.choice(PROJECTS[2:])), spec=ProjectSpec(quota=1))
        )

    async def dissolve(self) -> None:
        """A project that is empty goes."""
        project = await self._any(Project)
        work = (await self._tcp.behind.list(Workload, project.meta.name)).items
        if not work and project.meta.name in PROJECTS[2:]:
            await self._tcp.behind.delete(project)

    async def organize(self) -> None:
        if self._rng.random() < 0.5:
            await self._tcp.behind.create(Department(meta=Meta(name="other"), spec=DepartmentSpec(quota=2.0)))
        else:
            spec = NodePoolSpec(label_key="zone", label_value="a")
            await self._tcp.behind.create(NodePool(meta=Meta(name="zone-a"), spec=spec))

    async def machine(self) -> None:
        self._count += 1
        name = f"node-{self._rng.randrange(3)}"
        try:
            node = await self._tcp.behind.get(GpuNode, name)
        except ControlPlaneError:
            await self._tcp.behind.create(GpuNode(meta=Meta(name=name, labels={"zone": "a"})))
        else:
            pool = self._rng.choice(("default", "zone-a"))
            await self._tcp.behind.patch(node, {"spec": {"cordoned": self._rng.random() < 0.5, "pool": pool}})

    async def event(self) -> None:
        self._count += 1
        workload = await self._any(Workload)
        spec = EventSpec(
            about=f"Workload/{workload.meta.name}", reason="Placed", message="it was", uid=workload.meta.uid
        )
        await self._tcp.behind.create(
            Event(meta=Meta(name=f"event-{self._count}", project=workload.meta.project), spec=spec)
        )

    async def _any(self, kind: type[Any]) -> Any:
        return self._rng.choice(
            (await self._tcp.behind.list(kind)).items or (await self._tcp.behind.list(Project)).items
        )

    _steps: tuple[Callable[[Happening], Awaitable[None]], ...] = (
        submit,
        submit,
        submit,
        place,
        place,
        end,
        move,
        found,
        dissolve,
        organize,
        machine,
        machine,
        event,
    )


@pytest.mark.parametrize("seed", range(6))
async def test_what_a_client_was_told_is_what_is_listed_for_it(tcp: Tcp, seed: int) -> None:
    rng = Random(seed)
    happening = Happening(tcp, rng)
    clients = []
    for name, (role, scope) in USERS.items():
        clients.append(Client(tcp.http, await tcp.as_(name, role, **scope), Random(f"{seed}{name}")))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(client.run()) for client in clients]
        for client in clients:
            await client.ready.wait()
            client.state = await client.listed()
        for _ in range(STEPS):
            await happening.step()
        await tcp.settled()
        for client in clients:
            await client.knows_all()
        for one in following:
            one.cancel()
