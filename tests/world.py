"""A cluster kept beside the planner's: every decision is judged on it and then carried out, node by node."""

from __future__ import annotations

from dataclasses import replace

from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart
from solver.model.demand import DeviceShare, Holding
from solver.model.plan import Assign, Create, Destroy, Placed, Plan
from solver.model.snapshot import Snapshot
from solver.online import Decision
from tests.checker import check


class World:
    """What nodes would report. Each node is a snapshot of its own, so that judging does not grow with the cluster."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.nodes = {
            node.name: replace(
                snapshot,
                nodes=(node,),
                gpus=tuple(gpu for gpu in snapshot.gpus if gpu.node == node.name),
                held=tuple(holding for holding in snapshot.held if holding.grant.node == node.name),
                pending=(),
            )
            for node in snapshot.nodes
        }
        self._node_of = {holding.request.claim: holding.grant.node for holding in snapshot.held}

    def carry_out(self, decision: Decision) -> None:
        """Raises AssertionError where the decision's steps may not be carried out."""
        steps, request, grant = decision.steps, decision.request, decision.grant
        here = self.nodes[grant.node]
        after = {i: tuple(range(i)) for i in range(1, len(steps))}
        check(replace(here, pending=(request,)), Plan(steps, after, {request.claim: Placed(grant)}))
        gpus = {gpu.uuid: gpu for gpu in here.gpus}
        for step in steps:
            if isinstance(step, Destroy):
                gpus[step.gpu] = _destroyed(gpus[step.gpu], step.profile, step.start)
            elif isinstance(step, Assign):
                for share in step.grant.devices:
                    gpus[share.gpu] = _given(gpus[share.gpu], step.claim, share)
            else:
                assert isinstance(step, Create)
        node = here.nodes[0]
        cpu = None if node.cpu_milli is None else node.cpu_milli - request.cpu_milli
        memory = None if node.memory_mib is None else node.memory_mib - request.memory_mib
        self.nodes[grant.node] = replace(
            here,
            nodes=(replace(node, cpu_milli=cpu, memory_mib=memory),),
            gpus=tuple(gpus.values()),
            held=(*here.held, Holding(request, grant)),
        )
        self._node_of[request.claim] = grant.node

    def release(self, claim: str) -> None:
        """The holder's process has ended."""
        here = self.nodes[self._node_of.pop(claim)]
        holding = next(h for h in here.held if h.request.claim == claim)
        node, request = here.nodes[0], holding.request
        cpu = None if node.cpu_milli is None else node.cpu_milli + request.cpu_milli
        memory = None if node.memory_mib is None else node.memory_mib + request.memory_mib
        self.nodes[node.name] = replace(
            here,
            nodes=(replace(node, cpu_milli=cpu, memory_mib=memory),),
            gpus=tuple(_released(gpu, claim) for gpu in here.gpus),
            held=tuple(h for h in here.held if h is not holding),
        )


def _destroyed(gpu: Gpu, profile: str, start: int) -> Gpu:
    return replace(gpu, instances=tuple(i for i in gpu.instances if (i.profile, i.start) != (profile, start)))


def _given(gpu: Gpu, claim: str, share: DeviceShare) -> Gpu:
    if share.backing is Backing.WHOLE:
        return replace(gpu, held_by=claim)
    if share.profile is None or share.start is None:
        return replace(gpu, parts=(*gpu.parts, SharedPart(claim, share.portion, share.memory_mib, share.backing)))
    mine = Instance(share.profile, share.start, share.size, InstanceState.BUSY, claim)
    others = (i for i in gpu.instances if (i.profile, i.start) != (share.profile, share.start))
    return replace(gpu, instances=(*others, mine))


def _released(gpu: Gpu, claim: str) -> Gpu:
    instances = (replace(i, state=InstanceState.IDLE, claim=None) if i.claim == claim else i for i in gpu.instances)
    parts = tuple(part for part in gpu.parts if part.claim != claim)
    return replace(gpu, instances=tuple(instances), parts=parts, held_by=None if gpu.held_by == claim else gpu.held_by)
