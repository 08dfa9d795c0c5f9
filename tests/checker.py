"""An independent judge of plans: it replays a plan on its snapshot and shares no code with the planner.

`check(snapshot, plan)` raises AssertionError with a sentence when the plan breaks a rule: of the
hardware (legal starts, overlaps, media engines), of ownership (foreign and quarantined instances,
other people's claims), of order (each step's precondition after its predecessors), or of policy
(allowed nodes, host room, affinity, gangs, quota, legal victims).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from solver.model.cluster import Backing, Gpu, InstanceState
from solver.model.demand import (
    DeviceShare,
    Fraction,
    Grant,
    Holding,
    Memory,
    MigProfile,
    Request,
    WholeGpus,
)
from solver.model.geometry import GpuModel, Placement
from solver.model.plan import Assign, Create, Destroy, Evict, Placed, Plan, Unplaced
from solver.model.snapshot import Snapshot

PORTION_SLACK = 1e-4
Cell = tuple[str, int]


def check(snapshot: Snapshot, plan: Plan) -> None:
    """Raise AssertionError when the plan may not be carried out on the snapshot."""
    _every_request_has_one_outcome(snapshot, plan)
    _steps_are_ordered(plan)
    _grants_answer_their_requests(snapshot, plan)
    _hosts_are_allowed_and_have_room(snapshot, plan)
    _victims_are_legal(snapshot, plan)
    _gangs_are_whole(snapshot, plan)
    _quota_holds(snapshot, plan)
    _Replay(snapshot, plan).run()


def _placed(plan: Plan) -> dict[str, Placed]:
    return {claim: outcome for claim, outcome in plan.outcomes.items() if isinstance(outcome, Placed)}


def _every_request_has_one_outcome(snapshot: Snapshot, plan: Plan) -> None:
    pending = {r.claim for r in snapshot.pending}
    assert set(plan.outcomes) == pending, "outcomes and pending requests differ"
    evicted = {step.claim for step in plan.steps if isinstance(step, Evict)}
    assigned = Counter(step.claim for step in plan.steps if isinstance(step, Assign))
    placed = _placed(plan)
    assert all(count == 1 for count in assigned.values()), "a claim is assigned twice"
    assert set(assigned) - evicted == set(placed), "assigned claims and placed outcomes differ"
    for step in plan.steps:
        if isinstance(step, Assign) and step.claim in placed:
            assert step.grant == placed[step.claim].grant, f"step and outcome of {step.claim} differ"
    for claim, outcome in plan.outcomes.items():
        if isinstance(outcome, Unplaced):
            assert outcome.message, f"{claim} has no place and is not told why"


def _steps_are_ordered(plan: Plan) -> None:
    count = len(plan.steps)
    for step, earlier in plan.after.items():
        assert 0 <= step < count, f"there is no step {step}"
        assert all(0 <= e < step for e in earlier), f"step {step} comes before one it must follow"


def _grants_answer_their_requests(snapshot: Snapshot, plan: Plan) -> None:
    gpus = {gpu.uuid: gpu for gpu in snapshot.gpus}
    requests = {r.claim: r for r in snapshot.pending}
    for claim, outcome in _placed(plan).items():
        request, grant = requests[claim], outcome.grant
        assert len(grant.devices) == request.ask.devices, f"{claim} asked for {request.ask.devices} devices"
        assert len({s.gpu for s in grant.devices}) == len(grant.devices), f"{claim} got one GPU twice"
        for share in grant.devices:
            gpu = gpus.get(share.gpu)
            assert gpu is not None, f"{claim} got a GPU that does not exist"
            assert gpu.node == grant.node, f"{claim} got a GPU of another node"
            assert not gpu.fenced, f"{claim} was put on fenced GPU {gpu.uuid}"
            _share_answers(request, share, gpu, snapshot.models.get(gpu.model))


def _share_answers(request: Request, share: DeviceShare, gpu: Gpu, model: GpuModel | None) -> None:
    ask, who = request.ask, request.claim
    if share.backing is Backing.MIG:
        assert gpu.mig, f"{who}: an instance on a GPU without MIG"
        assert model is not None
        profile = model.profile(share.profile or "")
        assert profile is not None, f"{who}: {gpu.model} has no profile {share.profile}"
        assert share.start in profile.starts, f"{who}: {share.profile} may not start at {share.start}"
        assert share.size == profile.size, f"{who}: wrong size"
        assert math.isclose(share.portion, profile.slices / model.slices), f"{who}: wrong portion"
        if isinstance(ask, MigProfile):
            assert share.profile == ask.profile, f"{who} asked for {ask.profile}"
        elif isinstance(ask, Memory):
            assert profile.memory_mib is not None, f"{who}: the size of {profile.name} is not known"
            assert profile.memory_mib >= ask.mib, f"{who}: too little memory"
        else:
            assert isinstance(ask, Fraction), f"{who} asked for whole GPUs"
            assert profile.size >= ask.portion * model.units - 1e-6, f"{who}: too small a part"
        return
    assert not gpu.mig, f"{who}: {share.backing} on a GPU in MIG mode"
    if isinstance(ask, WholeGpus):
        assert share.backing is Backing.WHOLE, f"{who} asked for whole GPUs"
    elif isinstance(ask, Fraction):
        assert share.memory_mib == math.floor(round(ask.portion * gpu.memory_mib, 6)), f"{who}: wrong memory"
        assert math.isclose(share.portion, ask.portion), f"{who}: wrong portion"
    elif isinstance(ask, Memory):
        assert share.memory_mib == ask.mib, f"{who}: wrong memory"
        assert math.isclose(share.portion, ask.mib / gpu.memory_mib), f"{who}: wrong portion"
    else:
        raise AssertionError(f"{who} asked for a MIG profile and got {share.backing}")


def _hosts_are_allowed_and_have_room(snapshot: Snapshot, plan: Plan) -> None:
    nodes = {node.name: node for node in snapshot.nodes}
    requests = {r.claim: r for r in snapshot.pending}
    held = {h.request.claim: h for h in snapshot.held}
    gone = _gone(snapshot, plan)
    cpu: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for holding in snapshot.held:
        if holding.request.claim in gone:
            cpu[holding.grant.node] -= holding.request.cpu_milli
            memory[holding.grant.node] -= holding.request.memory_mib
        elif holding.request.anti_affinity is not None:
            keys[holding.grant.node].append(holding.request.anti_affinity)
    for claim, grant in _all_grants(plan).items():
        request, node = requests[claim] if claim in requests else held[claim].request, nodes[grant.node]
        assert node.ready, f"{claim}: node {node.name} is not ready"
        assert node.name not in request.excluded, f"{claim}: node {node.name} is excluded"
        assert not request.pools or node.pool in request.pools, f"{claim}: pool {node.pool} was not asked for"
        assert all(node.labels.get(k) == v for k, v in request.node_selector.items()), f"{claim}: labels differ"
        cpu[node.name] += request.cpu_milli
        memory[node.name] += request.memory_mib
        if request.anti_affinity is not None:
            keys[node.name].append(request.anti_affinity)
    for name, node in nodes.items():
        assert node.cpu_milli is None or cpu[name] <= node.cpu_milli, f"node {name} has too little CPU"
        assert node.memory_mib is None or memory[name] <= node.memory_mib, f"node {name} has too little memory"
        new = {r.anti_affinity for c, g in _all_grants(plan).items() if g.node == name and (r := requests.get(c))}
        repeated = [k for k, n in Counter(keys[name]).items() if n > 1 and k in new]
        assert not repeated, f"node {name} has {repeated} more than once"


def _all_grants(plan: Plan) -> dict[str, Grant]:
    return {step.claim: step.grant for step in plan.steps if isinstance(step, Assign)}


def _gone(snapshot: Snapshot, plan: Plan) -> set[str]:
    """Claims that will have left their places: evicted, or waited for."""
    evicted = {step.claim for step in plan.steps if isinstance(step, Evict)}
    return evicted | {c for outcome in _placed(plan).values() for c in outcome.waits_for}


def _victims_are_legal(snapshot: Snapshot, plan: Plan) -> None:
    held = {h.request.claim: h for h in snapshot.held}
    requests = {r.claim: r for r in snapshot.pending}
    victims = [step for step in plan.steps if isinstance(step, Evict)]
    assert len({v.claim for v in victims}) == len(victims), "a claim is evicted twice"
    for victim in victims:
        holding, request = held.get(victim.claim), requests.get(victim.beneficiary)
        assert holding is not None, f"{victim.claim} holds nothing"
        assert request is not None, f"{victim.beneficiary} does not wait"
        assert not holding.releasing, f"{victim.claim} is leaving anyway"
        assert not holding.protected, f"{victim.claim} is protected: {holding.protected}"
        assert holding.request.preemptible, f"{victim.claim} is not preemptible"
        outcome = plan.outcomes[victim.beneficiary]
        assert isinstance(outcome, Placed), f"{victim.beneficiary} evicts and gets no place"
        assert victim.claim in outcome.waits_for, f"{victim.beneficiary} does not wait for {victim.claim}"
        if holding.request.project == request.project and victim.claim not in _all_grants(plan):
            assert holding.request.priority < request.priority, f"{victim.claim} is as important as its beneficiary"
    for claim, outcome in _placed(plan).items():
        for waited in outcome.waits_for:
            holding = held.get(waited)
            leaves = holding is not None and (holding.releasing or waited in {v.claim for v in victims})
            assert leaves, f"{claim} waits for {waited}, which is not leaving"


def _gangs_are_whole(snapshot: Snapshot, plan: Plan) -> None:
    labels = {node.name: node.labels for node in snapshot.nodes}
    placed = _placed(plan)
    gone = _gone(snapshot, plan)
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for holding in snapshot.held:
        if holding.request.gang and holding.request.claim not in gone and not holding.releasing:
            places[holding.request.project, holding.request.gang.name].append(holding.grant.node)
    started = [r for r in snapshot.pending if r.gang and r.claim in placed]
    for request in started:
        assert request.gang is not None
        places[request.project, request.gang.name].append(placed[request.claim].grant.node)
    for request in started:
        gang = request.gang
        assert gang is not None
        nodes = places[request.project, gang.name]
        assert len(nodes) >= gang.size, f"gang {gang.name} starts with {len(nodes)} of {gang.size}"
        if gang.domain is not None and gang.domain_required:
            values = {labels[node].get(gang.domain) for node in nodes}
            assert len(values) == 1, f"gang {gang.name} spans {values}"
            assert None not in values, f"gang {gang.name} is outside every {gang.domain}"


def _quota_holds(snapshot: Snapshot, plan: Plan) -> None:
    gone = _gone(snapshot, plan)
    projects = {project.name: project for project in snapshot.projects}
    requests = {r.claim: r for r in snapshot.pending}
    stays = [h for h in snapshot.held if h.request.claim not in gone and not h.releasing]
    newcomers = [(requests[claim], outcome.grant) for claim, outcome in _placed(plan).items()]
    used: Counter[str] = Counter()
    firm: Counter[str] = Counter()
    for request, grant in [*((h.request, h.grant) for h in stays), *newcomers]:
        gpus = sum(share.portion for share in grant.devices)
        used[request.project] += gpus  # type: ignore[assignment]
        firm[request.project] += 0 if request.preemptible else gpus  # type: ignore[assignment]
    for request, grant in newcomers:
        project = projects.get(request.project)
        assert project is not None, f"{request.claim}: project {request.project} does not exist"
        late = request.backing_off_until is not None and request.backing_off_until > snapshot.now
        assert not late, f"{request.claim} is backing off"
        if isinstance(request.ask, WholeGpus | MigProfile) or grant.devices[0].backing is not Backing.MIG:
            limit, quota = project.default.limit, project.default.quota
            assert limit < 0 or used[project.name] <= limit + 0.01, f"project {project.name} is over its limit"
            over = not request.preemptible and quota >= 0 and firm[project.name] > quota + 0.01
            assert not over, f"project {project.name} has non-preemptible work over its quota"


class _Replay:
    """The steps carried out on a copy of the GPUs, in the plan's order."""

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        self.snapshot, self.plan = snapshot, plan
        self.gpus = {gpu.uuid: gpu for gpu in snapshot.gpus}
        self.instances: dict[str, dict[Placement, tuple[InstanceState, str | None]]] = defaultdict(dict)
        self.shares: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
        self.held = {h.request.claim: h for h in snapshot.held}
        self._load()
        self._release(c for c in _gone(snapshot, plan) if self.held[c].releasing)

    def _load(self) -> None:
        for gpu in self.snapshot.gpus:
            for i in gpu.instances:
                self.instances[gpu.uuid][Placement(i.profile, i.start)] = (i.state, i.claim)
            for part in gpu.parts:
                self.shares[gpu.uuid][part.claim] = (part.portion, part.memory_mib)
            if gpu.held_by:
                self.shares[gpu.uuid][gpu.held_by] = (1.0, gpu.memory_mib)
        for holding in self.snapshot.held:
            self._lay(holding)

    def _lay(self, holding: Holding) -> None:
        claim = holding.request.claim
        for share in holding.grant.devices:
            if share.gpu not in self.gpus:
                continue
            if share.backing is not Backing.MIG:
                self.shares[share.gpu][claim] = (share.portion, share.memory_mib)
                continue
            place = Placement(share.profile or "", share.start or 0)
            here = self.instances[share.gpu]
            for other, (state, _) in list(here.items()):
                if state is InstanceState.IDLE and self._mask(share.gpu, other) & self._mask(share.gpu, place):
                    del here[other]
            here[place] = (InstanceState.BUSY, claim)

    def _mask(self, uuid: str, place: Placement) -> int:
        gpu = self.gpus[uuid]
        seen = next((i.mask for i in gpu.instances if (i.profile, i.start) == (place.profile, place.start)), None)
        if seen is not None:
            return seen
        profile = self.snapshot.models[gpu.model].profile(place.profile)
        assert profile is not None, f"{gpu.model} has no profile {place.profile}"
        return ((1 << profile.size) - 1) << place.start

    def _release(self, claims: Iterable[str]) -> None:
        gone = set(claims)
        for here in self.instances.values():
            for place, (_, claim) in list(here.items()):
                if claim in gone:
                    here[place] = (InstanceState.IDLE, None)
        for parts in self.shares.values():
            for claim in gone & set(parts):
                del parts[claim]

    def run(self) -> None:
        done: dict[int, set[int]] = {}
        last: dict[Cell, int] = {}
        for position, step in enumerate(self.plan.steps):
            before = set(self.plan.after.get(position, ()))
            done[position] = before | {e for b in before for e in done[b]}
            if isinstance(step, Evict):
                self._evict(step, position, last)
            elif isinstance(step, Destroy):
                self._destroy(step, position, done, last)
            elif isinstance(step, Create):
                self._create(step, position, done, last)
            else:
                self._assign(step, position, done, last)

    def _cells(self, uuid: str, place: Placement) -> list[Cell]:
        mask = self._mask(uuid, place)
        return [(uuid, unit) for unit in range(mask.bit_length()) if mask >> unit & 1]

    def _follows(self, cells: list[Cell], position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        """Each step on a unit must be ordered after the step before it there, not merely listed later."""
        for cell in cells:
            if cell in last:
                assert last[cell] in done[position], f"step {position} does not wait for step {last[cell]}"
            last[cell] = position

    def _evict(self, step: Evict, position: int, last: dict[Cell, int]) -> None:
        holding = self.held[step.claim]
        for share in holding.grant.devices:
            if share.backing is Backing.MIG and share.gpu in self.gpus:
                for cell in self._cells(share.gpu, Placement(share.profile or "", share.start or 0)):
                    last[cell] = position
        self._release([step.claim])

    def _destroy(self, step: Destroy, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        place = Placement(step.profile, step.start)
        state = self.instances[step.gpu].get(place)
        assert state is not None, f"step {position} destroys {place} on {step.gpu}, which is not there"
        assert state[0] is InstanceState.IDLE, f"step {position} destroys {place} on {step.gpu}, which is {state[0]}"
        self._follows(self._cells(step.gpu, place), position, done, last)
        del self.instances[step.gpu][place]

    def _create(self, step: Create, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        gpu = self.gpus[step.gpu]
        assert gpu.mig, f"step {position} creates an instance on {gpu.uuid}, which has no MIG"
        assert not gpu.fenced, f"step {position} creates an instance on fenced GPU {gpu.uuid}"
        place = Placement(step.profile, step.start)
        profile = self.snapshot.models[gpu.model].profile(step.profile)
        assert profile is not None, f"{gpu.model} has no profile {step.profile}"
        assert step.start in profile.starts, f"step {position}: {step.profile} may not start at {step.start}"
        here = self.instances[step.gpu]
        mask = self._mask(step.gpu, place)
        for other in here:
            assert not self._mask(step.gpu, other) & mask, f"step {position}: {place} overlaps {other} on {gpu.uuid}"
        here[place] = (InstanceState.IDLE, None)
        self._engines_suffice(gpu, here)
        self._follows(self._cells(step.gpu, place), position, done, last)

    def _engines_suffice(self, gpu: Gpu, here: Iterable[Placement]) -> None:
        model = self.snapshot.models[gpu.model]
        profiles = [p for place in here if (p := model.profile(place.profile))]
        for profile in profiles:
            same = sum(p.name == profile.name for p in profiles)
            assert same <= profile.max_count, f"{same} x {profile.name} on {gpu.uuid}"
        media = [p for p in profiles if "+me" in p.name]
        assert len(media) <= 1, f"more than one instance with media extensions on {gpu.uuid}"
        if any(p.name.endswith("+me.all") for p in profiles):
            others = [p.name for p in profiles if not p.name.endswith(("+me.all", "-me"))]
            assert not others, f"{others} beside +me.all on {gpu.uuid}"
        if model.engines is not None:
            known = [p.engines for p in profiles if p.engines is not None]
            for engine in ("decoders", "jpeg", "ofa"):
                used = sum(getattr(e, engine) for e in known)
                assert used <= getattr(model.engines, engine), f"too many {engine} on {gpu.uuid}"

    def _assign(self, step: Assign, position: int, done: dict[int, set[int]], last: dict[Cell, int]) -> None:
        for share in step.grant.devices:
            gpu = self.gpus[share.gpu]
            if share.backing is Backing.MIG:
                place = Placement(share.profile or "", share.start or 0)
                state = self.instances[gpu.uuid].get(place)
                assert state is not None, f"{step.claim} is given {place} on {gpu.uuid}, which is not there"
                assert state[0] is InstanceState.IDLE, f"{step.claim} is given {place} on {gpu.uuid}: {state}"
                self._follows(self._cells(gpu.uuid, place), position, done, last)
                self.instances[gpu.uuid][place] = (InstanceState.BUSY, step.claim)
                continue
            parts = self.shares[gpu.uuid]
            assert not self.instances[gpu.uuid], f"{step.claim} is given a share of {gpu.uuid} beside instances"
            parts[step.claim] = (share.portion, share.memory_mib)
            assert sum(p for p, _ in parts.values()) <= 1 + PORTION_SLACK, f"{gpu.uuid} is given out more than once"
            assert sum(m for _, m in parts.values()) <= gpu.memory_mib, f"{gpu.uuid} has not the memory"
