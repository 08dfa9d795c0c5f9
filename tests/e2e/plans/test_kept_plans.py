"""Plans that are kept: looked at, applied, refused once the cluster has moved on, and undone."""

from __future__ import annotations

import re

from tests.e2e.embedded import HOLD, Embedded, share


def gpu_of(one: Embedded, name: str) -> str:
    return share(one.running(name)[name]).gpu


def kept(one: Embedded) -> str:
    said = one.run("plan", "defrag", "--save")
    assert said.returncode == 0, said
    found = re.search(r"kept as (plan-\w+); next: migctl plan diff \1, migctl plan apply \1", said.stderr)
    assert found, said
    return found[1]


def test_a_kept_plan_is_compared_applied_and_undone(scattered: Embedded) -> None:
    one = scattered
    before, plan = gpu_of(one, "quarter"), kept(one)
    assert f"{plan} " in one.ok("plan", "list")
    assert "Proposed" in one.ok("plan", "list")
    assert "Outcomes" not in one.ok("plan", "show", plan)  # it moves what runs, and places nothing new
    compared = one.json("plan", "diff", plan)
    (row,) = compared["differences"]
    assert (row["workload"], compared["obstacles"]) == ("default/quarter", [])
    assert row["other"].startswith("vm/1 2g.10gb@")
    assert gpu_of(one, "quarter") == before

    assert "--yes" in one.fails(2, "plan", "apply", plan)
    assert one.ok("plan", "apply", plan, "-y").endswith(f"plan {plan} applied: 1 workload moving\n")
    one.until("it has moved", lambda: gpu_of(one, "quarter") != before)
    assert row["plan"] == f"vm/0 2g.10gb@{share(one.running('quarter')['quarter']).start}"
    assert "No difference" in one.ok("plan", "diff", plan)
    assert "was tried already: Applied" in one.fails(4, "plan", "apply", plan, "-y")
    assert f"plan {plan} was applied" in one.ok("events")

    assert "applied: 1 workload moving" in one.ok("plan", "undo", plan, "--yes")
    one.until("it is back", lambda: gpu_of(one, "quarter") == before)
    assert one.ok("plan", "undo", plan, "--yes").endswith(f"plan {plan}: nothing to put back\n")


def test_a_plan_that_is_not_legal_any_more_moves_nothing(scattered: Embedded) -> None:
    one = scattered
    plan = kept(one)
    for name in ("taker-1", "taker-2"):
        one.ok("submit", name, "--mig-profile", "4g.20gb", *HOLD)
    one.running("taker-1", "taker-2")
    before = gpu_of(one, "quarter")
    said = one.fails(4, "plan", "apply", plan, "--yes")
    assert f"nothing was moved: plan {plan} cannot be applied any more" in said
    assert "cause: default/quarter: " in said
    assert one.json("plan", "diff", plan)["obstacles"][0]["workload"] == "default/quarter"
    assert gpu_of(one, "quarter") == before
    one.ok("delete", "taker-1", "taker-2", "quarter")
    one.until("they are gone", lambda: one.names() == ["half"])
    assert "does not run any more" in one.fails(4, "plan", "apply", plan, "--yes")


def test_a_record_is_no_proposal_and_a_first_place_is_not_taken_back(scattered: Embedded) -> None:
    one = scattered
    one.ok("submit", "late", "--mig-profile", "1g.5gb", *HOLD)
    one.running("late")
    plan = one.json("plan", "show")["meta"]["name"]
    assert "is no proposal" in one.fails(4, "plan", "apply", plan, "--yes")
    failed = one.run("plan", "undo", plan, "--yes")
    assert failed.returncode == 4
    assert "the plan gave it its first place" in failed.stdout
    assert "No difference" in one.ok("plan", "diff", plan)
    assert one.fails(3, "plan", "diff", "plan-nosuch")
    assert one.fails(3, "plan", "apply", "plan-nosuch", "-y")
