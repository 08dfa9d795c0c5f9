"""Random days of a kubelet whose driver's process is killed at random moments: `make soak`.

What the other fault tests reach point by point is met here as it comes: in gRPC's threads, while publishing,
while another claim is being prepared. Judged by the hardware's own state, the specs and the published report.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import pytest

from nodeagent.dra.stubs import dra_pb2
from solver.model.catalog import find
from solver.model.geometry import Placement, legal
from tests.depth import THOROUGH
from tests.nodeagent.dra.conftest import NewNode
from tests.nodeagent.dra.harness.agent_process import AgentProcess
from tests.nodeagent.dra.harness.api_server import ApiServer, until
from tests.nodeagent.machines import mig

Call = Callable[[], dra_pb2.NodePrepareResourceResponse]
STEPS = 120
MODEL = find("a100-40gb")
PLACES = [Placement(p.name, s) for p in MODEL.profiles if not p.variant for s in p.starts]


@dataclass
class Day:
    """`alive`: GPU number, place, uid and MIG UUID by the claims' names, as the kubelet was told."""

    node: AgentProcess
    api: ApiServer
    dice: random.Random
    alive: dict[str, tuple[int, Placement, str, str]] = field(default_factory=dict)
    made: int = 0
    kills: int = 0

    def step(self) -> None:
        if self.alive and self.dice.random() < 0.45:
            self._end(self.dice.choice(sorted(self.alive)))
        else:
            self._begin()
        self._check()

    def _begin(self) -> None:
        """A pod starts where there is room, its claim asked for by several callers at once."""
        number = self.dice.randrange(2)
        taken = [place for gpu, place, *_ in self.alive.values() if gpu == number]
        free = [place for place in PLACES if legal(MODEL, [*taken, place])]
        if not free:
            return
        place = self.dice.choice(free)
        self.made += 1
        name = f"{self.node.node}-{self.made}"
        share = mig(self.node.hardware()[number]["uuid"], place.profile, place.start)
        uid = self.api.allocate(name, self.node.node, [share])
        answer = self._insist(lambda: self.node.kubelet.prepare(name, uid))
        assert len(answer.devices) == 1
        self.alive[name] = (number, place, uid, self._uuid(number, place))

    def _end(self, name: str) -> None:
        """A pod ends; at times its claim is gone before the kubelet asks."""
        uid = self.alive.pop(name)[2]
        if self.dice.random() < 0.5:
            self.api.delete("resourceclaims", name, "team-a")
        self._insist(lambda: _answer(self.node.kubelet.unprepare(name, uid)))

    def _insist(self, call: Call) -> dra_pb2.NodePrepareResourceResponse:
        """Call until there is an answer without an error; sometimes the agent is killed meanwhile."""
        killer = threading.Timer(self.dice.random() * 0.15, self.node.kill) if self.dice.random() < 0.3 else None
        found: list[dra_pb2.NodePrepareResourceResponse] = []

        def attempt() -> dra_pb2.NodePrepareResourceResponse | None:
            try:
                answer = call()
            except grpc.RpcError:
                return None
            return None if answer.error else answer

        def together() -> bool:
            with ThreadPoolExecutor(3) as callers:
                answers = [a for a in callers.map(lambda _: attempt(), range(3)) if a is not None]
            assert all(answer == answers[0] for answer in answers)
            found.extend(answers)
            return bool(answers)

        if killer is not None:
            killer.start()
            together()
            killer.join()
            self.kills += 1
            self.node.start()
        until(together)
        return found[-1]

    def _uuid(self, number: int, place: Placement) -> str:
        instances = self.node.hardware()[number]["instances"]
        (found,) = [i for i in instances if (i["profile"], i["start"]) == (place.profile, place.start)]
        return str(found["compute"][0]["uuid"])

    def _check(self) -> None:
        uids = sorted(uid for _, _, uid, _ in self.alive.values())
        until(lambda: self.node.held() == uids)
        for number, gpu in enumerate(self.node.hardware()):
            assert legal(MODEL, [Placement(i["profile"], i["start"]) for i in gpu["instances"]])
            assert all(len(i["compute"]) == 1 for i in gpu["instances"]), "a half-made instance was left behind"
            for at, place, _, uuid in self.alive.values():
                assert at != number or self._uuid(number, place) == uuid, "a held instance was made anew"
        specs = [json.loads(path.read_text()) for path in self.node.cdi.glob("*.json")]
        assert sorted(spec["devices"][0]["name"] for spec in specs) == uids


def _answer(error: str) -> dra_pb2.NodePrepareResourceResponse:
    return dra_pb2.NodePrepareResourceResponse(error=error)


@pytest.mark.skipif(not THOROUGH, reason="takes minutes: make soak")
@pytest.mark.parametrize("seed", [1, 2])
def test_random_days_with_kills(new_node: NewNode, api: ApiServer, seed: int) -> None:
    node = new_node("a100-40gb=2", create_s=0.05, destroy_s=0.02)
    day = Day(node, api, random.Random(seed))
    for _ in range(STEPS):
        day.step()
    assert day.made > STEPS / 4
    assert day.kills > STEPS / 10
