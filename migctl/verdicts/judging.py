"""From a decision to the verdict: the part of the plan that is about one workload, in words and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from migctl.access.texts import ANOTHERS
from migctl.backends.workload_status import first_indexes, imagined_uid
from migctl.controller.names import Names
from migctl.controller.publish import step_of
from migctl.objects import (
    Meta,
    PlanStep,
    Prospect,
    StepState,
    VerdictBlocker,
    VerdictEviction,
    VerdictPlace,
    VerdictQueue,
    VerdictReason,
    VerdictShare,
    Workload,
    WorkloadVerdict,
    to_builtins,
)
from migctl.reason_text import demand_text, sentence
from migctl.verdicts.hiding import Sees, everything, shown
from solver.model.demand import DeviceShare, Holding
from solver.model.plan import Assign, Create, Destroy, Evict, Placed, Plan, Step
from solver.model.reasons import QueueFigures, QueueFull, Unplaced
from solver.model.snapshot import Snapshot

MOST_BLOCKERS = 100
UsersOf = Callable[[Collection[str]], Mapping[str, str]]
"""Who submitted the workloads of these claims, by the claims' uids, as far as that is known."""


def nobody(claims: Collection[str]) -> Mapping[str, str]:
    """It is not known."""
    return {}


def judged(
    state: Snapshot,
    plan: Plan,
    workload: Workload,
    now: datetime,
    users_of: UsersOf = nobody,
    sees: Sees = everything,
) -> WorkloadVerdict:
    """What a plan says of a workload whose first pods (workload_status.first_claims) wait in the state it was made of.

    sees  the reader's view: what is in other projects is counted and not named
    """
    own = {imagined_uid(index): index for index in first_indexes(workload)}
    placed = {uid: outcome for uid in own if isinstance(outcome := plan.outcomes[uid], Placed)}
    unplaced = {uid: outcome for uid in own if isinstance(outcome := plan.outcomes[uid], Unplaced)}
    positions = _cone(plan, placed)
    making_room = sum(bool(outcome.waits_for) for outcome in placed.values())
    starting, waiting = len(placed) - making_room, len(unplaced)
    several = Counter(id(reason) for reason in unplaced.values())
    known = {id(reason): reason for reason in unplaced.values()}
    reasons = [(shown(reason, state, sees), several[key]) for key, reason in known.items()]
    part = _Part(own, state, plan, workload, positions, list(known.values()), users_of, sees)
    return WorkloadVerdict(
        meta=Meta(name=workload.meta.name, project=workload.meta.project, created=now),
        prospect=_prospect(starting, making_room, waiting),
        pods=len(own),
        starting=starting,
        making_room=making_room,
        waiting=waiting,
        places=tuple(part.place(own[uid], placed[uid]) for uid in list(placed)[: WorkloadVerdict.MOST_PLACES]),
        evictions=tuple(part.evictions()),
        steps=part.steps(),
        reasons=tuple(_reasons(reasons)),
        blockers=tuple(part.blockers()),
        queues=tuple(_queues(reason for reason, _ in reasons)),
        in_queue=len(state.pending) - len(own),
        note=plan.certificate.note,
    )


def _prospect(starting: int, making_room: int, waiting: int) -> Prospect:
    if waiting:
        return Prospect.PARTLY if starting or making_room else Prospect.WAITS
    return Prospect.MAKES_ROOM if making_room else Prospect.STARTS


def _cone(plan: Plan, claims: Iterable[str]) -> list[int]:
    """Positions of the steps that give these claims their places, and of all that comes before or with those."""
    assigns = {step.claim: i for i, step in enumerate(plan.steps) if isinstance(step, Assign)}
    found: set[int] = set()
    look = [assigns[claim] for claim in claims]
    while look:
        position = look.pop()
        if position in found:
            continue
        found.add(position)
        look += plan.after.get(position, ())
        step = plan.steps[position]
        if isinstance(step, Evict) and step.claim in assigns:
            look.append(assigns[step.claim])
    return sorted(found)


class _Names(Names):
    """Names of what the reader may see."""

    def __init__(self, state: Snapshot, sees: Sees) -> None:
        super().__init__(state)
        held = {holding.request.claim: holding.request.project for holding in state.held}
        waiting = {request.claim: request.project for request in state.pending}
        self._hidden = {claim for claim, project in {**held, **waiting}.items() if not sees(project)}

    def claim(self, uid: str) -> str:
        return ANOTHERS if uid in self._hidden else super().claim(uid)


@dataclass
class _Part:
    """The part of a plan that is about one workload. own: claims of its pods; positions: of its steps."""

    own: Collection[str]
    state: Snapshot
    plan: Plan
    workload: Workload
    positions: Sequence[int]
    unplaced: Sequence[Unplaced]
    users_of: UsersOf
    sees: Sees

    def __post_init__(self) -> None:
        self._blocking = list(
            dict.fromkeys(claim for reason in self.unplaced if reason.blockers for claim in reason.blockers.claims)
        )
        steps = [self.plan.steps[position] for position in self.positions]
        claims = {*self._blocking, *(claim for step in steps for claim in _claims(step))}
        claims |= {claim for step in steps if isinstance(step, Assign) for claim in self._waits_for(step.claim)}
        held = {h.request.claim: h for h in self.state.held if h.request.claim in claims}
        holdings = held.values()
        gpus = {gpu for step in steps for gpu in _gpus(step)}
        gpus |= {share.gpu for holding in holdings for share in holding.grant.devices}
        few = replace(
            self.state,
            held=tuple(holdings),
            pending=tuple(request for request in self.state.pending if request.claim in claims),
            gpus=tuple(gpu for gpu in self.state.gpus if gpu.uuid in gpus),
        )
        self._held, self._names = held, _Names(few, self.sees)

    def _waits_for(self, claim: str) -> tuple[str, ...]:
        outcome = self.plan.outcomes.get(claim)
        return outcome.waits_for if isinstance(outcome, Placed) else ()

    def place(self, pod: int, outcome: Placed) -> VerdictPlace:
        """Where one of its pods starts."""
        return VerdictPlace(
            pod=pod,
            node=outcome.grant.node,
            devices=tuple(map(self._share, outcome.grant.devices)),
            rounded=outcome.rounded,
            waits_for=tuple(map(self._names.claim, outcome.waits_for)),
        )

    def _share(self, share: DeviceShare) -> VerdictShare:
        return VerdictShare(
            name=self._names.gpu(share.gpu),
            gpu=share.gpu,
            backing=share.backing,
            portion=share.portion,
            memory_mib=share.memory_mib,
            profile=share.profile,
            start=share.start,
            size=share.size,
        )

    def evictions(self) -> Iterator[VerdictEviction]:
        """Whom it stops or moves, in order; not those who are stopped for others and for whose going it waits."""
        moves = {step.claim: step.grant for step in self._steps() if isinstance(step, Assign)}
        for step in self._steps():
            if isinstance(step, Evict) and step.beneficiary in self.own:
                request = self._held[step.claim].request
                seen, place = self.sees(request.project), moves.get(step.claim)
                yield VerdictEviction(
                    name=self._names.claim(step.claim),
                    claim=step.claim if seen else "",
                    workload=request.workload if seen else "",
                    project=request.project if seen else "",
                    own=request.project == self.workload.meta.project,
                    why=step.why if seen else "",
                    moves_to=self._names.grant(place) if place else "",
                )

    def steps(self) -> tuple[PlanStep, ...]:
        """What is done for it."""
        number = {position: i for i, position in enumerate(self.positions[: WorkloadVerdict.MOST_STEPS])}
        return tuple(self._step(position, number) for position in number)

    def _step(self, position: int, number: Mapping[int, int]) -> PlanStep:
        """The step as the reader may see it. number: places in the list, by position in the plan."""
        step = self.plan.steps[position]
        holding = self._held.get(next(iter(_claims(step)), ""))
        seen = holding is not None and self.sees(holding.request.project)
        if isinstance(step, Evict) and not seen:
            step = replace(step, why="")
        after = tuple(number[before] for before in self.plan.after.get(position, ()) if before in number)
        told = step_of(self._names, step, after, (StepState.PROPOSED, ""))
        return told if seen else msgspec.structs.replace(told, claim="")

    def _steps(self) -> Iterator[Step]:
        return (self.plan.steps[position] for position in self.positions)

    def blockers(self) -> Iterator[VerdictBlocker]:
        """Whose end would free the nearest places."""
        ahead = {request.claim: request for request in self.state.pending}
        listed = self._blocking[:MOST_BLOCKERS]
        users = self.users_of(listed) if listed else {}
        for claim in listed:
            holding = self._held.get(claim)
            request = holding.request if holding else ahead.get(claim)
            if request is None:
                continue
            seen = self.sees(request.project)
            yield VerdictBlocker(
                name=self._names.claim(claim),
                claim=claim if seen else "",
                workload=request.workload if seen else "",
                project=request.project if seen else "",
                user=users.get(claim, "") if seen else "",
                own=request.project == self.workload.meta.project,
                preemptible=request.preemptible,
                holds=self._holds(holding) if holding and seen else demand_text(request.demand) if seen else "",
            )

    def _holds(self, holding: Holding) -> str:
        return self._names.grant(holding.grant)


def _claims(step: Step) -> tuple[str, ...]:
    match step:
        case Evict():
            return step.claim, step.beneficiary
        case Assign():
            return (step.claim,)
    return ()


def _gpus(step: Step) -> tuple[str, ...]:
    match step:
        case Create() | Destroy():
            return (step.gpu,)
        case Assign():
            return tuple(share.gpu for share in step.grant.devices)
    return ()


def _reasons(reasons: Iterable[tuple[Unplaced, int]]) -> Iterator[VerdictReason]:
    """Each reason once, with how many pods it keeps."""
    pods: Counter[str] = Counter()
    first: dict[str, Unplaced] = {}
    for reason, count in reasons:
        text = sentence(reason)
        pods[text] += count
        first.setdefault(text, reason)
    for text, reason in first.items():
        yield VerdictReason(
            code=reason.code.value,
            text=text,
            pods=pods[text],
            kind=type(reason.facts).__name__,
            facts=to_builtins(reason.facts),
            gang=to_builtins(reason.gang),
            cordoned=reason.cordoned,
        )


def _queues(reasons: Iterable[Unplaced]) -> Iterator[VerdictQueue]:
    """The queues that the reasons give figures of, each once."""
    found: dict[QueueFigures, None] = {}
    for reason in reasons:
        if isinstance(reason.facts, QueueFull):
            found[reason.facts.queue] = None
        found |= dict.fromkeys(reason.figures)
    return (
        VerdictQueue(
            kind=queue.kind,
            name=queue.name,
            pool=queue.pool,
            allocated=queue.allocated,
            non_preemptible=queue.non_preemptible,
            quota=queue.quota,
            limit=queue.limit,
            fair_share=queue.fair_share,
        )
        for queue in found
    )
