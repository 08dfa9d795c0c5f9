"""The fair share: how one node pool's GPUs are divided among the queues that want them.

    quotas    each queue gets its want, up to its limit and quota; where the pool is too small for
              all quotas, they are filled evenly in proportion to the quotas
    surplus   what is left is filled by queue priority, and among equals evenly in proportion to
              the over-quota weights; weight 0 takes no part

Filling evenly (water-filling) raises one level for all: a queue stops at its want, the others go
on. Amounts are whole grains (1 GPU, or a compute slice), leftovers go one grain at a time to the
largest remainder, then the oldest queue, then the name. Computed in whole parts of a GPU, so that
sevenths and tenths add up exactly and no order of queues matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from solver.model.snapshot import Quota

PARTS = 7_000_000
"""Parts of a GPU: sevenths, quarters and decimal fractions are whole numbers of them."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A project or department that wants `want` GPUs (allocated and pending) of one pool."""

    name: str
    want: float
    quota: Quota
    created: float = 0.0

    @property
    def reach(self) -> float:
        """GPUs it could use: its want, up to its limit."""
        return min(self.want, self.quota.limit) if self.quota.limit >= 0 else self.want


@dataclass(frozen=True, slots=True)
class Group:
    """A department: its own quota and limit over all its projects."""

    name: str
    quota: Quota
    members: tuple[Queue, ...]
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class _Need:
    """What a queue still needs at one stage, in parts, and its weight there."""

    queue: Queue
    parts: int
    weight: int


def divide(total: float, queues: Iterable[Queue], grain: float = 1.0) -> dict[str, float]:
    """Each queue's fair share of `total` GPUs, by name. Shares sum to at most the total."""
    members = sorted(queues, key=lambda q: (q.created, q.name))
    pot, step = _parts(total), max(1, _parts(grain))
    shares = _fill(pot, [_Need(q, *_entitled(q, pot)) for q in members], step)
    pot -= sum(shares.values())
    for priority in sorted({q.quota.priority for q in members}, reverse=True):
        level = [q for q in members if q.quota.priority == priority]
        given = _fill(pot, [_Need(q, _parts(q.reach) - shares[q.name], _parts(q.quota.weight)) for q in level], step)
        pot -= sum(given.values())
        shares |= {name: shares[name] + parts for name, parts in given.items()}
    return {name: parts / PARTS for name, parts in shares.items()}


def divide_top_down(
    total: float, groups: Sequence[Group], singles: Sequence[Queue], grain: float = 1.0
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Shares of departments and of projects: first among departments and projects without one, then inside each."""
    tops = [Queue(_group_key(g.name), sum(q.reach for q in g.members), g.quota, g.created) for g in groups]
    first = divide(total, [*tops, *singles], grain)
    shares = {q.name: first[q.name] for q in singles}
    for group in groups:
        shares |= divide(first[_group_key(group.name)], group.members, grain)
    return {group.name: first[_group_key(group.name)] for group in groups}, shares


def _group_key(name: str) -> str:
    """A department's name among projects: "/" is in no project's name."""
    return f"/{name}"


def _parts(gpus: float) -> int:
    return round(gpus * PARTS)


def _entitled(queue: Queue, pot: int) -> tuple[int, int]:
    """What its quota entitles a queue to, and the quota as a weight where the pool cannot give all of them."""
    reach = _parts(queue.reach)
    quota = _parts(queue.quota.quota) if queue.quota.quota >= 0 else max(pot, reach)
    return min(quota, reach), quota


def _fill(pot: int, needs: Sequence[_Need], step: int) -> dict[str, int]:
    """Raise one level for all until the pot is empty or every need is met; needs come oldest first."""
    given = {need.queue.name: 0 for need in needs}
    thirsty = sorted((n for n in needs if n.parts > 0 and n.weight > 0), key=lambda n: Fraction(n.parts, n.weight))
    weights = sum(need.weight for need in thirsty)
    while thirsty and thirsty[0].parts * weights <= pot * thirsty[0].weight:
        met = thirsty.pop(0)
        given[met.queue.name] = met.parts
        pot -= met.parts
        weights -= met.weight
    ideal = {need.queue.name: pot * need.weight for need in thirsty}
    for name, product in ideal.items():
        given[name] = product // (weights * step) * step
    pot -= sum(given[name] for name in ideal)
    by_remainder = sorted(needs, key=lambda n: given[n.queue.name] * weights - ideal.get(n.queue.name, 0))
    return _hand_out(pot, [n for n in by_remainder if n.queue.name in ideal], given, step)


def _hand_out(pot: int, needs: Sequence[_Need], given: dict[str, int], step: int) -> dict[str, int]:
    """Give what flooring left over, a grain at a time, in the order of `needs`."""
    while pot > 0 and any(given[n.queue.name] < n.parts for n in needs):
        for need in needs:
            more = min(step, pot, need.parts - given[need.queue.name])
            given[need.queue.name] += more
            pot -= more
    return given
