"""What is on every GPU, from the events alone: no share may be given out that the hardware has no room for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from migctl.simulate.events import Event, Kind
from migctl.simulate.fleet import Fleet
from solver.model.demand import DeviceShare, Grant
from solver.model.geometry import Placement, legal

MOST = 1 + 1e-9


def judged(fleet: Fleet, events: Iterable[Event]) -> Iterator[Event]:
    """The same events; AssertionError at the first that is impossible."""
    models = {gpu.uuid: fleet.models[gpu.model] for gpu in fleet.gpus}
    nodes = {gpu.uuid: gpu.node for gpu in fleet.gpus}
    shares: defaultdict[str, dict[str, DeviceShare]] = defaultdict(dict)
    for event in events:
        claim = event.arrival.request.claim
        if event.kind is Kind.ENDED:
            _lift(shares, claim)
        elif event.admission:
            grant = event.admission.grant
            assert grant is not None
            assert len(grant.devices) == event.arrival.request.ask.devices
            given: dict[str, Grant] = {**event.admission.moves, claim: grant}
            for moved in event.admission.moves:
                assert _lift(shares, moved), f"{moved} is moved and was nowhere"
            for who, what in given.items():
                for share in what.devices:
                    assert nodes[share.gpu] == what.node
                    shares[share.gpu][who] = share
            for gpu in {share.gpu for what in given.values() for share in what.devices}:
                here = shares[gpu].values()
                layout = [Placement(s.profile, s.start) for s in here if s.profile and s.start is not None]
                assert len(layout) in (0, len(here))
                assert legal(models[gpu], layout), f"no layout of {gpu}: {layout}"
                assert sum(s.portion for s in here) <= MOST, f"too much on {gpu}"
        yield event


def _lift(shares: dict[str, dict[str, DeviceShare]], claim: str) -> bool:
    return sum(here.pop(claim, None) is not None for here in shares.values()) > 0
