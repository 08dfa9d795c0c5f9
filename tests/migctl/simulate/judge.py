"""What is on every GPU, from the events alone: nothing may be given out that hardware or node has no room for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from migctl.simulate.events import SimulationEvent, SimulationEventKind
from migctl.simulate.fleet import SimulatedFleet
from solver.model.demand import DeviceShare, Grant, Request
from solver.model.geometry import Placement, legal

MOST = 1 + 1e-9


def judged(fleet: SimulatedFleet, events: Iterable[SimulationEvent]) -> Iterator[SimulationEvent]:
    """The same events; AssertionError at the first that is impossible."""
    judge = _Judge(fleet)
    for event in events:
        request = event.arrival.request
        if event.kind is SimulationEventKind.ENDED:
            judge.lift(request.claim)
        elif event.admission:
            assert event.admission.grant is not None
            for claim in event.admission.moves:
                judge.lift(claim)
            judge.lay(request, event.admission.grant)
            for claim, grant in event.admission.moves.items():
                judge.lay(judge.requests[claim], grant)
            judge.look(grant.node for grant in (event.admission.grant, *event.admission.moves.values()))
        yield event


class _Judge:
    def __init__(self, fleet: SimulatedFleet) -> None:
        self.requests: dict[str, Request] = {}
        self._fleet = fleet
        self._nodes = {node.name: node for node in fleet.nodes}
        self._gpus: defaultdict[str, list[str]] = defaultdict(list)
        for gpu in fleet.gpus:
            self._gpus[gpu.node].append(gpu.uuid)
        self._models = {gpu.uuid: fleet.models[gpu.model] for gpu in fleet.gpus}
        self._shares: defaultdict[str, dict[str, DeviceShare]] = defaultdict(dict)
        self._grants: dict[str, Grant] = {}
        self._here: defaultdict[str, set[str]] = defaultdict(set)

    def lay(self, request: Request, grant: Grant) -> None:
        assert len({share.gpu for share in grant.devices}) == request.demand.devices
        assert not request.pools or self._nodes[grant.node].pool in request.pools
        self.requests[request.claim], self._grants[request.claim] = request, grant
        self._here[grant.node].add(request.claim)
        for share in grant.devices:
            assert share.gpu in self._gpus[grant.node]
            self._shares[share.gpu][request.claim] = share

    def lift(self, claim: str) -> None:
        """Raises KeyError where the claim holds nothing."""
        grant = self._grants.pop(claim)
        self._here[grant.node].remove(claim)
        for share in grant.devices:
            del self._shares[share.gpu][claim]

    def look(self, nodes: Iterable[str]) -> None:
        for node in (self._nodes[name] for name in set(nodes)):
            here = [self.requests[claim] for claim in self._here[node.name]]
            assert node.cpu_milli is None or sum(r.cpu_milli for r in here) <= node.cpu_milli, f"CPU of {node.name}"
            assert node.memory_mib is None or sum(r.memory_mib for r in here) <= node.memory_mib, f"RAM of {node.name}"
            for gpu in self._gpus[node.name]:
                shares = self._shares[gpu].values()
                layout = [Placement(s.profile, s.start) for s in shares if s.profile and s.start is not None]
                assert len(layout) in (0, len(shares))
                assert legal(self._models[gpu], layout), f"no layout of {gpu}: {layout}"
                assert sum(share.portion for share in shares) <= MOST, f"too much on {gpu}"
