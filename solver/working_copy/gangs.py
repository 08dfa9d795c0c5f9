"""Where the members of a gang may go: anywhere, or within one topology domain."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass

from solver.model.demand import Gang
from solver.working_copy.occupancy import WorkingNode


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """A part of the cluster. `name` tells it from every other part."""

    name: Hashable
    nodes: tuple[WorkingNode, ...]


def domains(everywhere: Domain, gang: Gang | None, members: Collection[str]) -> list[Domain]:
    """Parts of the cluster the gang may use, the fullest first. `members`: nodes of its members, which fix it."""
    if gang is None or gang.domain is None:
        return [everywhere]
    values: dict[str, list[WorkingNode]] = {}
    for node in everywhere.nodes:
        if (value := node.reported.labels.get(gang.domain)) is not None:
            values.setdefault(value, []).append(node)
    fixed = {node.reported.labels.get(gang.domain) for node in everywhere.nodes if node.reported.name in members}
    allowed = [(value, nodes) for value, nodes in sorted(values.items()) if not fixed or fixed == {value}]
    allowed.sort(key=lambda entry: -sum(node.used for node in entry[1]))
    found = [Domain((everywhere.name, gang.domain, value), tuple(nodes)) for value, nodes in allowed]
    return found if gang.domain_required else [*found, everywhere]
