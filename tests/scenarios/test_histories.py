"""Safety and rest under random histories. `make soak-fairness` runs a whole day of a thousand workloads."""

from __future__ import annotations

from random import Random

import pytest

from migctl.backoff import delay
from tests.depth import THOROUGH
from tests.scenarios.history import run
from tests.scenarios.language import Submit, parse
from tests.scenarios.virtual import VirtualWorld


@pytest.mark.parametrize("seed", range(4))
def test_nobody_loses_what_is_his_and_the_cluster_comes_to_rest(seed: int) -> None:
    world = run(Random(seed), workloads=60, hours=2.0, grace_s=10.0 * (seed % 2))
    assert world.counts["evicted"] + world.counts["moved"] > 0


@pytest.mark.skipif(not THOROUGH, reason="a day of a thousand workloads: make soak-fairness")
def test_a_day_of_a_thousand_workloads() -> None:
    world = run(Random(2030), workloads=1000, hours=24.0)
    print(f"SOAK workloads=1000 hours=24 evicted={world.counts['evicted']} moved={world.counts['moved']}")
    assert world.counts["evicted"] > 0


def test_a_job_that_never_starts_delays_nobody_by_more_than_one_decision() -> None:
    scenario = parse("""
    1 nodes x 1 v100; project team-a quota 1
    submit broken team-a -g 1; submit fine team-a -g 1
    """)
    world = VirtualWorld.of(scenario, 0.0)
    world.breaks = {"broken"}
    for step in scenario.steps:
        assert isinstance(step, Submit)
        world.workloads[step.workload.meta.name] = step.workload
        world.pend(step.workload, 0, world.now)
    world.cycle()
    assert not world.is_in("fine", "Running")
    world.cycle()
    assert world.is_in("fine", "Running")
    assert "it is tried again at" in world.reason("broken")
    for failures in range(2, 8):
        world.delete("fine")
        world.now += delay(failures, "broken").total_seconds() + 1
        world.submit(
            next(s.workload for s in scenario.steps if isinstance(s, Submit) and s.workload.meta.name == "fine")
        )
        world.cycle()
        world.cycle()
        assert world.is_in("fine", "Running")
