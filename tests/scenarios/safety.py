"""What must hold of every plan and after it, whatever the history: worked out from the snapshot alone."""

from __future__ import annotations

from collections import Counter

from solver.model.cluster import InstanceState
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.snapshot import Snapshot
from solver.quota.ledger import Ledger

SLACK = 1e-6


def judge(state: Snapshot, plan: Plan) -> None:
    """Raise AssertionError where a plan takes from whom it must not, or for nobody."""
    held = {holding.request.claim: holding for holding in state.held}
    wishes = {request.claim: request for request in state.pending}
    moved = {step.claim for step in plan.steps if isinstance(step, Assign)}
    pool_of = {node.name: node.pool for node in state.nodes}
    ledger = Ledger(state)
    had: Counter[tuple[str, str]] = Counter()
    for holding in state.held:
        if not holding.releasing:
            key = (holding.request.project, pool_of[holding.grant.node])
            had[key] += sum(share.portion for share in holding.grant.devices)  # type: ignore[assignment]
    evictions = [step for step in plan.steps if isinstance(step, Evict)]
    loses: Counter[tuple[str, str]] = Counter()
    for holding in (held[step.claim] for step in evictions if step.claim not in moved):
        key = (holding.request.project, pool_of[holding.grant.node])
        loses[key] += sum(share.portion for share in holding.grant.devices)  # type: ignore[assignment]
    for step in evictions:
        victim, taker = held[step.claim], wishes[step.beneficiary]
        assert victim.request.preemptible, f"{step.claim} is not preemptible"
        assert isinstance(plan.outcomes[step.beneficiary], Placed), f"{step.claim} goes for nobody"
        assert taker.name in step.why, f"{step.claim} is not told for whom it goes: {step.why}"
        if victim.request.project == taker.project or step.claim in moved:
            continue
        key = (victim.request.project, pool_of[victim.grant.node])
        account = ledger.accounts[key]
        assert account.quota.quota >= 0, f"{key} has an unlimited quota and loses {step.claim}"
        assert had[key] > account.quota.quota + SLACK, f"{key} is at or under its quota and loses {step.claim}"
        mine = taker.project, key[1]
        firm = had[mine] - loses[mine] < ledger.accounts[mine].quota.quota
        above = had[key] > account.fair_share + SLACK
        assert above or firm, f"{key} is at or under its fair share and loses {step.claim}"


def consistent(state: Snapshot) -> None:
    """Raise AssertionError where more is held than there is, or a gang runs in part."""
    used: Counter[str] = Counter()
    for holding in state.held:
        for share in holding.grant.devices:
            used[share.gpu] += share.portion  # type: ignore[assignment]
    over = [uuid for uuid, portion in used.items() if portion > 1 + SLACK]
    assert not over, f"more is held than there is on {over}"
    for gpu in state.gpus:
        busy = [i for i in gpu.instances if i.state is InstanceState.BUSY]
        assert not any(a.mask & b.mask for a in busy for b in busy if a is not b), f"instances overlap on {gpu.uuid}"
    gangs: Counter[tuple[str, str, int]] = Counter()
    for holding in state.held:
        if (gang := holding.request.gang) and not holding.releasing:
            gangs[holding.request.project, gang.name, gang.size] += 1
    parts = [f"{name}: {count} of {size}" for (_, name, size), count in gangs.items() if count < size]
    assert not parts, f"gangs run in part: {parts}"
