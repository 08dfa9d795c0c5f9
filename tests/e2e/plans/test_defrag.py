"""`plan defrag` on a running cluster: the preview changes nothing, and what is applied goes where it was shown."""

from __future__ import annotations

from tests.e2e.embedded import HOLD, Embedded, share


def test_the_preview_shows_moves_layouts_and_what_fits_and_changes_nothing(scattered: Embedded) -> None:
    before = scattered.look_at_everything()
    answer = scattered.json("plan", "defrag")
    (move,) = answer["moves"]
    assert move["workload"].startswith("default/quarter")
    assert move["now"].startswith("vm/1 2g.10gb@")
    assert move["then"].startswith("vm/0 2g.10gb@")
    assert {"share": "7g.40gb", "now": 0, "then": 1} in answer["fits"]
    assert {row["gpu"] for row in answer["layouts"]} == {"vm/0", "vm/1"}
    text = scattered.ok("plan", "defrag", "--for", "7g.40gb")
    for heading in ("Moves (1)", "What fits", "Layouts", "NOW", "THEN"):
        assert heading in text
    assert scattered.look_at_everything() == before


def test_moves_are_not_applied_unasked(scattered: Embedded) -> None:
    before = scattered.look_at_everything()
    assert "hint: --apply --yes" in scattered.fails(2, "plan", "defrag", "--apply")
    assert "hint: " in scattered.fails(2, "plan", "defrag", "--for", "lots")
    assert scattered.look_at_everything() == before


def test_what_is_applied_goes_where_it_was_shown(scattered: Embedded) -> None:
    stays = [pod.meta.uid for pod in scattered.pods("half")]
    (move,) = scattered.json("plan", "defrag")["moves"]
    scattered.ok("plan", "defrag", "--apply", "--yes")
    old = scattered.report().gpus[1].uuid
    scattered.until(
        "quarter runs on the first GPU",
        lambda: share(scattered.running("quarter")["quarter"]).gpu == scattered.report().gpus[0].uuid,
    )
    new = share(scattered.running("quarter")["quarter"])
    assert new.gpu != old
    assert move["then"] == f"vm/0 2g.10gb@{new.start}"
    assert [pod.meta.uid for pod in scattered.pods("half")] == stays
    assert "No move would open a slot" in scattered.ok("plan", "defrag")
    scattered.ok("submit", "whole", "--mig-profile", "7g.40gb", *HOLD)
    scattered.running("whole")


def test_why_and_describe_name_the_blockers_and_what_would_free_a_place(scattered: Embedded) -> None:
    """After all that: no third job of a whole GPU fits, and the nearest place is the one that one job holds."""
    scattered.ok("submit", "more", "--mig-profile", "7g.40gb", *HOLD)
    scattered.until("a reason is given", lambda: scattered.pods("more")[-1].status.message)
    (claim,) = scattered.pods("more")
    assert claim.status.message == "no free start for 7g.40gb now"
    assert claim.status.message in scattered.ok("describe", "more")
    explained = scattered.json("why", "more")
    (reason,) = explained["reasons"]
    verdict = "no-free-gpu: no free start for 7g.40gb: GPU vm/1 needs 8 units together at 0 and has 0 free units; whole"
    assert reason.startswith(verdict)
    assert "(7g.40gb) at 0 blocks 0; whole would have to end: no other place is free for it" in reason
    assert [row["workload"] for row in explained["blockers"]] == ["whole"]
