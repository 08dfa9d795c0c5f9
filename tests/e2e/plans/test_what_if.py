"""`plan what-if` and `submit --verdict` on a running cluster: the answer, and that nothing was changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture(scope="module")
def busy(embedded: Callable[[str], Embedded]) -> Embedded:
    """An A100 with 2g.10gb at 4, and a V100 held whole."""
    one = embedded("a100-40gb=1,v100=1")
    one.ok("submit", "two", "--mig-profile", "2g.10gb", *HOLD)
    one.ok("submit", "whole", "-g", "1", *HOLD)
    one.running("two", "whole")
    return one


def test_more_requests_show_who_would_start_where(busy: Embedded) -> None:
    before = busy.look_at_everything()
    answer = busy.json("plan", "what-if", "--add", "2g.10gb x2", "--add", "7g.40gb")
    then = {row["workload"]: row["then"] for row in answer["queue"]}
    assert then["default/new-1"].startswith("starts on ")
    assert then["default/new-2"].startswith("starts on ")
    assert then["default/new-3"].startswith("waits: ")
    (layout,) = answer["layouts"]
    assert len(layout["now"]) == 1
    assert len(layout["then"]) == 3
    assert answer["evicted"] == []
    assert busy.look_at_everything() == before


def test_interactive_work_shows_whom_it_would_evict(busy: Embedded) -> None:
    answer = busy.json("plan", "what-if", "--add", "7g.40gb", "--interactive")
    assert [row["workload"] for row in answer["evicted"]] == ["default/two"]
    none = busy.json("plan", "what-if", "--add", "7g.40gb", "--interactive", "--evictions", "0")
    assert none["evicted"] == []


def test_a_lost_node_and_a_new_one(busy: Embedded) -> None:
    (name,) = {gpu.node for gpu in busy.report().gpus}
    alone = {row["workload"]: row["then"] for row in busy.json("plan", "what-if", "--lose-node", name)["queue"]}
    assert set(alone) == {"default/two", "default/whole"}
    assert all(then.startswith("waits: ") for then in alone.values())
    shown = busy.ok("plan", "what-if", "--lose-node", name)
    assert not any(gpu.uuid in shown or gpu.uuid in str(alone) for gpu in busy.report().gpus), "J11: names, no UUIDs"
    answer = busy.json("plan", "what-if", "--lose-node", name, "--add-node", "h100=1,a100-40gb=1,v100=2")
    moved = {row["workload"]: row["then"] for row in answer["queue"]}
    assert all(then.startswith("starts on new-node-1/") for then in moved.values())


def test_the_table_is_for_people(busy: Embedded) -> None:
    text = busy.ok("plan", "what-if", "--add", "1g.5gb")
    for heading in ("Queue", "Evicted", "Layouts", "NOW", "THEN"):
        assert heading in text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ()),
        (2, ("--add", "lots")),
        (2, ("--add", "5X")),
        (2, ("--add-node", "rtx-9999=1")),
        (3, ("--lose-node", "nowhere")),
        (2, ("--placing", "sideways", "--add", "0.5")),
    ],
)
def test_what_makes_no_sense_is_refused(busy: Embedded, code: int, words: tuple[str, ...]) -> None:
    assert "hint: " in busy.fails(code, "plan", "what-if", *words)


def test_what_would_start_starts_there(busy: Embedded) -> None:
    before = busy.look_at_everything()
    told = busy.json("submit", "half", "--mig-profile", "3g.20gb", "--verdict")
    assert busy.look_at_everything() == before
    assert told["prospect"] == "starts"
    busy.ok("submit", "half", "--mig-profile", "3g.20gb", *HOLD)
    busy.running("half")
    (share,) = told["places"][0]["devices"]
    held = [(i.profile, i.start) for gpu in busy.report().gpus for i in gpu.instances if gpu.uuid == share["gpu"]]
    assert (share["profile"], share["start"]) in held


def test_what_would_wait_waits_for_that_reason(busy: Embedded) -> None:
    result = busy.run("submit", "big", "--mig-profile", "7g.40gb", "--verdict", "-o", "json")
    assert result.returncode == 5, result
    busy.ok("submit", "big", "--mig-profile", "7g.40gb", *HOLD)
    (reason,) = busy.json("why", "big")["reasons"]
    assert reason.startswith("no-free-gpu: ")
    assert reason.partition("; ")[0].removeprefix("no-free-gpu: ") in result.stdout
