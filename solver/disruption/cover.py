"""The fewest whose going makes good what is missing, in several resources at once: exact."""

from __future__ import annotations

from collections.abc import Sequence

Amounts = tuple[int, ...]


def fewest(lack: Amounts, given: Sequence[Amounts]) -> tuple[int, ...] | None:
    """Positions in `given` of the fewest that together give at least `lack`; None where all do not suffice."""
    order = sorted(range(len(given)), key=lambda i: [-amount for amount in _useful(lack, given[i])])
    for count in range(len(given) + 1):
        found = _choose(lack, given, order, count)
        if found is not None:
            return found
    return None


def _useful(lack: Amounts, amounts: Amounts) -> Amounts:
    """What counts of the amounts, that of all resources together first."""
    useful = tuple(min(have, max(need, 0)) for need, have in zip(lack, amounts, strict=True))
    return (sum(1000 * have // need for need, have in zip(lack, useful, strict=True) if need > 0), *useful)


def _choose(lack: Amounts, given: Sequence[Amounts], order: list[int], count: int) -> tuple[int, ...] | None:
    """So many of `order` that suffice. Gives up where the largest so many of each resource would not."""
    if all(need <= 0 for need in lack):
        return ()
    for resource, need in enumerate(lack):
        if sum(sorted((given[i][resource] for i in order), reverse=True)[:count]) < need:
            return None
    for at, first in enumerate(order):
        rest = tuple(need - have for need, have in zip(lack, given[first], strict=True))
        found = _choose(rest, given, order[at + 1 :], count - 1)
        if found is not None:
            return (first, *found)
    return None
