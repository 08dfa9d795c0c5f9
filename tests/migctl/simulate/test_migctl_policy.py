"""The production planner in the simulator: every decision of ours passes the independent checker."""

from __future__ import annotations

import pytest

from migctl.simulate.demand.generated import DemandMix
from migctl.simulate.events import SimulationEventKind
from migctl.simulate.fleet import SimulatedFleet, parse
from migctl.simulate.loop import play
from migctl.simulate.migctl_policy import MigctlMovingScheduler, MigctlScheduler
from migctl.simulate.policies import BOUND, MIGCTL, MIGCTL_MOVING, schedulers
from migctl.simulate.results.metrics import Result, measure
from solver.model.demand import Grant
from solver.model.plan import Assign, Plan
from solver.model.snapshot import Policy, Snapshot
from solver.online import Decision, Online
from solver.planner import plan
from tests.checker import check
from tests.migctl.simulate.judge import judged
from tests.world import World


@pytest.mark.parametrize("seed", range(3))
def test_every_plan_with_a_move_is_sound_and_moves_one_at_most(seed: int) -> None:
    fleet, plans = parse("a100-40gb=4"), list[Plan]()

    def watched(state: Snapshot, policy: Policy) -> Plan:
        decided = plan(state, policy)
        check(state, decided)
        plans.append(decided)
        return decided

    arrivals = tuple(DemandMix("uniform", 1.1, 300, seed).on(fleet))
    events = list(judged(fleet, play(arrivals, MigctlMovingScheduler(fleet, planner=watched))))
    moved = [event.admission.moves for event in events if event.admission and event.admission.moves]
    assert moved
    assert all(len(moves) == 1 for moves in moved)
    assert len(moved) == sum(len([s for s in p.steps if isinstance(s, Assign)]) == 2 for p in plans)


def test_every_decision_without_moves_is_sound() -> None:
    fleet = parse("a100-40gb=4")
    world = World(fleet.snapshot)

    class Judged(Online):
        def apply(self, decision: Decision, now: float = 0.0) -> Grant:
            world.carry_out(decision)
            return super().apply(decision, now)

        def release(self, claim: str) -> None:
            world.release(claim)
            super().release(claim)

    arrivals = tuple(DemandMix("small", 1.1, 400, 1).on(fleet))
    kinds = [event.kind for event in play(arrivals, MigctlScheduler(fleet, Judged))]
    assert kinds.count(SimulationEventKind.REFUSED) > 0


def _results(fleet: SimulatedFleet, load: float, arrivals: int) -> dict[str, Result]:
    met = tuple(DemandMix("uniform", load, arrivals, 1).on(fleet))
    return {
        name: measure(name, fleet, play(met, make()), arrivals)
        for name, make in schedulers(fleet, met).items()
        if name in (MIGCTL, MIGCTL_MOVING, BOUND)
    }


def test_moves_admit_more_and_what_could_be_repacked_is_no_fragmentation() -> None:
    found = _results(parse("a100-40gb=24"), 1.0, 2_000)
    assert found[MIGCTL].slices < found[MIGCTL_MOVING].slices < found[BOUND].slices
    assert found[MIGCTL].moves == 0 < found[MIGCTL_MOVING].moves
    assert found[MIGCTL].fragmented > found[BOUND].fragmented
