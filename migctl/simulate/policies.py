"""The schedulers of a simulation by name; every simulation makes a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from migctl.simulate.baselines import mig, plain
from migctl.simulate.bound import Pooling, Repacking
from migctl.simulate.events import Arrival, Scheduler
from migctl.simulate.fleet import SimulatedFleet
from migctl.simulate.migctl_policy import MigctlMovingScheduler, MigctlScheduler
from solver.model.demand import MigProfile

SchedulerFactory = Callable[[], Scheduler]
MIGCTL = "migctl"
MIGCTL_MOVING = "migctl, 1 move"
BOUND = "re-packing for free"


def schedulers(fleet: SimulatedFleet, arrivals: Sequence[Arrival]) -> Mapping[str, SchedulerFactory]:
    """Every scheduler that can serve this fleet, in the order of the table."""
    found: dict[str, SchedulerFactory] = {
        MIGCTL: partial(MigctlScheduler, fleet),
        MIGCTL_MOVING: partial(MigctlMovingScheduler, fleet),
    }
    if not fleet.mig:
        found |= {name: partial(rule, fleet) for name, rule in plain.RULES.items()}
        found |= {"fgd": partial(plain.Fgd, fleet, [a.request for a in arrivals]), BOUND: partial(Pooling, fleet)}
        return MappingProxyType(found)
    demand = _demand(arrivals)
    found |= {name: partial(mig.MigBaseline, fleet, rule, demand) for name, rule in mig.RULES.items()}
    if len(fleet.models) == 1:
        found[BOUND] = partial(Repacking, fleet)
    return MappingProxyType(found)


def _demand(arrivals: Iterable[Arrival]) -> Mapping[str, float]:
    """The part of the requests that name each profile."""
    demands = Counter(a.request.demand.profile for a in arrivals if isinstance(a.request.demand, MigProfile))
    return {profile: count / demands.total() for profile, count in demands.items()}
