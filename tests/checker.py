"""An independent judge of plans: it replays a plan on its snapshot and shares no code with the planner.

`check(snapshot, plan)` raises AssertionError with a sentence when the plan breaks a rule: of the
hardware (legal starts, overlaps, media engines), of ownership (foreign and quarantined instances,
other people's claims), of order (each step's precondition after its predecessors), or of policy
(allowed nodes, host room, affinity, gangs, quota, legal victims).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from migctl.reason_text import sentence
from solver.model.cluster import Backing, Gpu
from solver.model.demand import DeviceShare, Fraction, Memory, MigProfile, OneDemand, Request, WholeGpus, by_part
from solver.model.geometry import GpuModel
from solver.model.plan import Assign, Evict, Placed, Plan
from solver.model.reasons import Unplaced
from solver.model.snapshot import Snapshot
from tests.replay import Replay

QUOTA_SLACK = 1e-4


def check(snapshot: Snapshot, plan: Plan) -> None:
    """Raise AssertionError when the plan may not be carried out on the snapshot."""
    facts = Facts(snapshot, plan)
    _every_request_has_one_outcome(facts)
    _steps_are_ordered(plan)
    _grants_answer_their_requests(facts)
    _hosts_are_allowed_and_have_room(facts)
    _victims_are_legal(facts)
    _gangs_are_whole(facts)
    _quota_holds(facts)
    Replay(snapshot, plan, facts.gone).run()


class Facts:
    """What the rules look up, read from snapshot and plan once.

    gone: claims that will have left their places, evicted or waited for
    """

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        self.snapshot = snapshot
        self.outcomes = dict(plan.outcomes)
        self.placed = {claim: o for claim, o in self.outcomes.items() if isinstance(o, Placed)}
        self.assigned = [step for step in plan.steps if isinstance(step, Assign)]
        self.victims = [step for step in plan.steps if isinstance(step, Evict)]
        self.grants = {step.claim: step.grant for step in self.assigned}
        self.requests = {r.claim: r for r in snapshot.pending}
        self.held = {h.request.claim: h for h in snapshot.held}
        self.evicted = {step.claim for step in self.victims}
        self.gone = self.evicted | {c for outcome in self.placed.values() for c in outcome.waits_for}

    def request(self, claim: str) -> Request:
        return self.requests[claim] if claim in self.requests else self.held[claim].request


def _every_request_has_one_outcome(facts: Facts) -> None:
    assert set(facts.outcomes) == set(facts.requests), "outcomes and pending requests differ"
    assert len(facts.grants) == len(facts.assigned), "a claim is assigned twice"
    assert set(facts.grants) - facts.evicted == set(facts.placed), "assigned claims and placed outcomes differ"
    for claim, placed in facts.placed.items():
        assert facts.grants[claim] == placed.grant, f"step and outcome of {claim} differ"
    for claim, outcome in facts.outcomes.items():
        if isinstance(outcome, Unplaced):
            assert sentence(outcome), f"{claim} has no place and is not told why"


def _steps_are_ordered(plan: Plan) -> None:
    count = len(plan.steps)
    for step, earlier in plan.after.items():
        assert 0 <= step < count, f"there is no step {step}"
        assert all(0 <= e < step for e in earlier), f"step {step} comes before one it must follow"


def _grants_answer_their_requests(facts: Facts) -> None:
    gpus = {gpu.uuid: gpu for gpu in facts.snapshot.gpus}
    for claim, grant in facts.grants.items():
        request = facts.request(claim)
        assert len(grant.devices) == request.demand.devices, f"{claim} asked for {request.demand.devices} devices"
        for demand, shares in by_part(request.demand, grant.devices):
            assert len({s.gpu for s in shares}) == len(shares), f"{claim} got one GPU twice"
            for share in shares:
                gpu = gpus.get(share.gpu)
                assert gpu is not None, f"{claim} got a GPU that does not exist"
                assert gpu.node == grant.node, f"{claim} got a GPU of another node"
                assert not gpu.fenced, f"{claim} was put on fenced GPU {gpu.uuid}"
                _share_answers(claim, demand, share, gpu, facts.snapshot.models.get(gpu.model))


def _share_answers(who: str, demand: OneDemand, share: DeviceShare, gpu: Gpu, model: GpuModel | None) -> None:
    wanted = demand.model or gpu.model
    assert wanted.lower() == gpu.model.lower(), f"{who} asked for a GPU of model {demand.model}"
    if share.backing is Backing.MIG:
        assert gpu.mig, f"{who}: an instance on a GPU without MIG"
        assert model is not None
        profile = model.profile(share.profile or "")
        assert profile is not None, f"{who}: {gpu.model} has no profile {share.profile}"
        assert share.start in profile.starts, f"{who}: {share.profile} may not start at {share.start}"
        assert share.size == profile.size, f"{who}: wrong size"
        assert math.isclose(share.portion, profile.slices / model.slices), f"{who}: wrong portion"
        if isinstance(demand, MigProfile):
            assert share.profile == demand.profile, f"{who} asked for {demand.profile}"
        elif isinstance(demand, Memory):
            assert profile.memory_mib is not None, f"{who}: the size of {profile.name} is not known"
            assert profile.memory_mib >= demand.mib, f"{who}: too little memory"
        elif isinstance(demand, WholeGpus):
            assert demand.devices == 1, f"{who}: a program uses one instance, not {demand.devices}"
            assert profile.slices == model.slices, f"{who}: not all of the GPU"
        else:
            assert profile.size >= demand.portion * model.units - 1e-6, f"{who}: too small a part"
        return
    assert not gpu.mig, f"{who}: {share.backing} on a GPU in MIG mode"
    if isinstance(demand, WholeGpus):
        assert share.backing is Backing.WHOLE, f"{who} asked for whole GPUs"
    elif isinstance(demand, Fraction):
        assert share.memory_mib == math.floor(round(demand.portion * gpu.memory_mib, 6)), f"{who}: wrong memory"
        assert math.isclose(share.portion, demand.portion), f"{who}: wrong portion"
    elif isinstance(demand, Memory):
        assert share.memory_mib == demand.mib, f"{who}: wrong memory"
        assert math.isclose(share.portion, demand.mib / gpu.memory_mib), f"{who}: wrong portion"
    else:
        raise AssertionError(f"{who} asked for a MIG profile and got {share.backing}")


def _hosts_are_allowed_and_have_room(facts: Facts) -> None:
    nodes = {node.name: node for node in facts.snapshot.nodes}
    cpu: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    keys: Counter[tuple[str, str]] = Counter()
    for holding in facts.snapshot.held:
        request = holding.request
        if request.claim in facts.gone:
            cpu[holding.grant.node] -= request.cpu_milli
            memory[holding.grant.node] -= request.memory_mib
        elif request.anti_affinity is not None:
            keys[holding.grant.node, request.anti_affinity] += 1
    for claim, grant in facts.grants.items():
        request, node = facts.request(claim), nodes[grant.node]
        assert node.ready, f"{claim}: node {node.name} is not ready"
        assert node.name not in request.excluded, f"{claim}: node {node.name} is excluded"
        assert not request.pools or node.pool in request.pools, f"{claim}: pool {node.pool} was not asked for"
        assert all(node.labels.get(k) == v for k, v in request.node_selector.items()), f"{claim}: labels differ"
        cpu[node.name] += request.cpu_milli
        memory[node.name] += request.memory_mib
        if request.anti_affinity is not None:
            keys[node.name, request.anti_affinity] += 1
    for name, node in nodes.items():
        assert node.cpu_milli is None or cpu[name] <= max(node.cpu_milli, 0), f"node {name} has too little CPU"
        assert node.memory_mib is None or memory[name] <= max(node.memory_mib, 0), f"node {name} has too little memory"
    new = {(grant.node, facts.request(claim).anti_affinity) for claim, grant in facts.grants.items()}
    repeated = [key for key, count in keys.items() if count > 1 and key in new]
    assert not repeated, f"{repeated} more than once"


def _victims_are_legal(facts: Facts) -> None:
    assert len(facts.evicted) == len(facts.victims), "a claim is evicted twice"
    for victim in facts.victims:
        holding, request = facts.held.get(victim.claim), facts.requests.get(victim.beneficiary)
        assert holding is not None, f"{victim.claim} holds nothing"
        assert request is not None, f"{victim.beneficiary} does not wait"
        assert not holding.releasing, f"{victim.claim} is leaving anyway"
        assert not holding.protected, f"{victim.claim} is protected: {holding.protected}"
        assert holding.request.preemptible, f"{victim.claim} is not preemptible"
        assert holding.request.movable or victim.claim not in facts.grants, f"{victim.claim} is not to be moved"
        outcome = facts.outcomes[victim.beneficiary]
        assert isinstance(outcome, Placed), f"{victim.beneficiary} evicts and gets no place"
        assert victim.claim in outcome.waits_for, f"{victim.beneficiary} does not wait for {victim.claim}"
        if holding.request.project == request.project and victim.claim not in facts.grants:
            assert holding.request.priority < request.priority, f"{victim.claim} is as important as its beneficiary"
    for claim, outcome in facts.placed.items():
        for waited in outcome.waits_for:
            holding = facts.held.get(waited)
            leaves = holding is not None and (holding.releasing or waited in facts.evicted)
            assert leaves, f"{claim} waits for {waited}, which is not leaving"


def _gangs_are_whole(facts: Facts) -> None:
    labels = {node.name: node.labels for node in facts.snapshot.nodes}
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for holding in facts.snapshot.held:
        if holding.request.gang and holding.request.claim not in facts.gone and not holding.releasing:
            places[holding.request.project, holding.request.gang.name].append(holding.grant.node)
    started = [r for r in facts.snapshot.pending if r.gang and r.claim in facts.placed]
    for request in started:
        assert request.gang is not None
        places[request.project, request.gang.name].append(facts.placed[request.claim].grant.node)
    for request in started:
        gang = request.gang
        assert gang is not None
        nodes = places[request.project, gang.name]
        assert len(nodes) >= gang.size, f"gang {gang.name} starts with {len(nodes)} of {gang.size}"
        if gang.domain is not None and gang.domain_required:
            values = {labels[node].get(gang.domain) for node in nodes}
            assert len(values) == 1, f"gang {gang.name} spans {values}"
            assert None not in values, f"gang {gang.name} is outside every {gang.domain}"


def _quota_holds(facts: Facts) -> None:
    """In every pool: what newcomers push a project to is inside its limit, and inside its quota if it is firm."""
    projects = {project.name: project for project in facts.snapshot.projects}
    pool_of = {node.name: node.pool for node in facts.snapshot.nodes}
    used: defaultdict[tuple[str, str], float] = defaultdict(float)
    firm: defaultdict[tuple[str, str], float] = defaultdict(float)
    stay = [h for c, h in facts.held.items() if c not in facts.gone and not h.releasing]
    newcomers = [(facts.request(claim), grant) for claim, grant in facts.grants.items()]
    for request, grant in [*((h.request, h.grant) for h in stay), *newcomers]:
        account = (request.project, pool_of.get(grant.node, ""))
        gpus = sum(share.portion for share in grant.devices)
        used[account] += gpus
        firm[account] += 0.0 if request.preemptible else gpus
    for request, grant in newcomers:
        project, pool = projects.get(request.project), pool_of[grant.node]
        assert project is not None, f"{request.claim}: project {request.project} does not exist"
        late = request.backing_off_until is not None and request.backing_off_until > facts.snapshot.now
        assert not late, f"{request.claim} is backing off"
        quota = project.quotas.get(pool, project.default)
        within = quota.limit < 0 or used[project.name, pool] <= quota.limit + QUOTA_SLACK
        assert within, f"project {project.name} is over its limit in {pool}"
        covered = request.preemptible or quota.quota < 0 or firm[project.name, pool] <= quota.quota + QUOTA_SLACK
        assert covered, f"project {project.name} has non-preemptible work over its quota in {pool}"
