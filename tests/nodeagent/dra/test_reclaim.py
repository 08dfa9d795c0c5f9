"""Claims that the kubelet forgot: taken back when nothing of them is left, and never before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.contract import environment
from nodeagent.dra.claim_index import ClaimIndex, ClaimRef
from nodeagent.dra.reclaim import ABSENT_S, EVERY_S, MAX_READS, PRESENT_S, Reclaim
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.kubernetes.client import ApiNotFound, ApiUnreachable, Json
from nodeagent.shares.process_owner import ProcessOwners
from tests.nodeagent.dra.harness.node import Node
from tests.nodeagent.machines import NODE

Read = Callable[[str, str], Json]


class Watch:
    """A node's Reclaim, whose time passes as it is told."""

    def __init__(self, node: Node) -> None:
        self.node, self.now = node, 0.0
        self.working: set[str] = set()
        self.events: list[AgentEvent] = []
        self.read: Read = node.read
        self.reclaim = Reclaim(
            NODE,
            node.ledger,
            lambda: node.agent.held(),
            lambda namespace, name: self.read(namespace, name),
            lambda ref: node.plugin.unprepare(ref),
            self.events.append,
            running=lambda: self.working,
            clock=lambda: self.now,
        )

    def looks(self, seconds: float) -> None:
        """Time passes with a look every so often."""
        end = self.now + seconds
        while self.now <= end:
            self.reclaim.step()
            self.now += EVERY_S


@pytest.fixture
def watch(node: Node) -> Watch:
    node.allocate("a", "uid-a", node.share())
    assert node.prepare("a", "uid-a").error == ""
    return Watch(node)


def test_all_requests_of_a_claim_that_is_no_more_are_taken_back(watch: Watch) -> None:
    """Each is held as one of its own; one that has a process keeps the claim."""
    node = watch.node
    node.allocate_to_containers("b", "uid-b", [("gpu-0", node.share("1g.5gb", 2)), ("gpu-1", node.share("1g.5gb", 3))])
    assert node.prepare("b", "uid-b").error == ""
    del node.claims["team-a", "b"]
    watch.working = {"uid-b.gpu-1"}
    watch.looks(2 * ABSENT_S)
    assert "uid-b.gpu-0" in node.agent.held()
    watch.working = set()
    watch.looks(ABSENT_S + EVERY_S)
    assert node.agent.held() == ("uid-a",)
    assert [event.claim for event in watch.events] == ["uid-b"]


def test_a_claim_that_is_no_more_is_taken_back_after_a_while(watch: Watch) -> None:
    watch.node.claims.clear()
    watch.looks(ABSENT_S - EVERY_S)
    assert watch.node.held() == ("uid-a",)
    watch.looks(EVERY_S)
    assert watch.node.held() == ()
    assert list(watch.node.cdi.iterdir()) == []
    assert [(e.kind, e.claim) for e in watch.events] == [(EventKind.RECLAIMED, "uid-a")]
    assert "team-a/a no longer exists" in watch.events[0].text
    watch.looks(2 * ABSENT_S)
    assert len(watch.events) == 1
    assert watch.node.unprepare("a", "uid-a") == ""


def test_a_claim_that_is_there_stays(watch: Watch) -> None:
    asked: list[str] = []

    def read(namespace: str, name: str) -> Json:
        asked.append(name)
        return watch.node.read(namespace, name)

    watch.read = read
    watch.looks(2 * PRESENT_S)
    assert watch.node.held() == ("uid-a",)
    assert len(asked) == 3, "the API server is not to be asked at every look"
    watch.node.claims.clear()
    watch.looks(PRESENT_S + ABSENT_S)
    assert watch.node.held() == ()


def test_a_claim_of_another_uid_or_node_or_without_allocation_is_not_this_one(watch: Watch) -> None:
    node = watch.node
    for name, start in (("b", 2), ("c", 4)):
        node.allocate(name, f"uid-{name}", node.share("1g.5gb", start))
        assert node.prepare(name, f"uid-{name}").error == ""
    node.allocate("a", "uid-new", node.share())
    node.allocate("b", "uid-b", node.share("1g.5gb", 2), node="elsewhere")
    del node.claims["team-a", "c"]["status"]["allocation"]
    watch.looks(ABSENT_S)
    assert node.held() == ()


def test_a_claim_with_a_process_is_left_alone(watch: Watch) -> None:
    watch.node.claims.clear()
    watch.working = {"uid-a"}
    watch.looks(3 * ABSENT_S)
    assert watch.node.held() == ("uid-a",)
    watch.working = set()
    watch.looks(ABSENT_S - EVERY_S)
    assert watch.node.held() == ("uid-a",)
    watch.looks(EVERY_S)
    assert watch.node.held() == ()


def test_a_process_on_the_device_that_nobody_can_name_keeps_its_claim(watch: Watch) -> None:
    machine = watch.node.machine
    machine.occupy(machine.gpus()[0]["instances"][0]["compute"][0]["uuid"], 100, pid=1)
    watch.node.claims.clear()
    watch.looks(2 * ABSENT_S)
    assert watch.node.held() == ("uid-a",)
    machine.vacate()
    watch.looks(0)
    assert watch.node.held() == ()


def test_many_claims_are_asked_about_a_few_at_a_time_and_each_in_its_turn(tmp_path: Path) -> None:
    uids = [f"uid-{number:02}" for number in range(3 * MAX_READS)]
    ledger, now = ClaimIndex(tmp_path / "claims"), 0.0
    for uid in uids[1:]:
        ledger.add(ClaimRef("team-a", uid, uid))
    asked: list[str] = []
    released: list[str] = []

    def read(namespace: str, name: str) -> Json:
        asked.append(name)
        raise ApiNotFound(name)

    reclaim = Reclaim(
        NODE,
        ledger,
        lambda: [uid for uid in uids if uid not in released],
        read,
        lambda ref: released.append(ref.uid),
        lambda event: None,
        running=lambda: (),
        clock=lambda: now,
    )
    reclaim.step()
    assert asked == uids[1 : 1 + MAX_READS], "the first has no known name"
    for _ in range(10):
        now += EVERY_S
        reclaim.step()
    assert sorted(released) == uids[1:]


def test_an_api_server_that_does_not_answer_says_nothing_about_claims(watch: Watch) -> None:
    def down(namespace: str, name: str) -> Json:
        raise ApiUnreachable("down")

    watch.read = down
    watch.looks(3 * ABSENT_S)
    assert watch.node.held() == ("uid-a",)


def test_a_new_start_still_knows_which_claim_it_was(watch: Watch) -> None:
    watch.node.claims.clear()
    watch.node.stop()
    watch.node.start()
    watch.looks(ABSENT_S)
    assert watch.node.held() == ()
    assert watch.node.ledger.find("uid-a") is None


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"]
    with subprocess.Popen(command, env={environment.CLAIM: "uid-of-a-test"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_claim_is_at_work_while_a_process_has_it_in_its_environment(program: subprocess.Popen[bytes]) -> None:
    assert "uid-of-a-test" in ProcessOwners().claims_with_processes()
    program.kill()
    program.wait()
    assert "uid-of-a-test" not in ProcessOwners().claims_with_processes()
