"""Where the members of a gang may go: anywhere, or within one topology domain."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass

from solver.model.demand import Gang
from solver.working_copy.occupancy import Host


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """A part of the cluster. `name` tells it from every other part."""

    name: Hashable
    hosts: tuple[Host, ...]


def domains(everywhere: Domain, gang: Gang | None, nodes: Collection[str]) -> list[Domain]:
    """Parts of the cluster the gang may use, the fullest first. `nodes`, where members are already, fix it."""
    if gang is None or gang.domain is None:
        return [everywhere]
    values: dict[str, list[Host]] = {}
    for host in everywhere.hosts:
        if (value := host.node.labels.get(gang.domain)) is not None:
            values.setdefault(value, []).append(host)
    fixed = {host.node.labels.get(gang.domain) for host in everywhere.hosts if host.node.name in nodes}
    allowed = [(value, hosts) for value, hosts in sorted(values.items()) if not fixed or fixed == {value}]
    allowed.sort(key=lambda entry: -sum(host.used for host in entry[1]))
    found = [Domain((everywhere.name, gang.domain, value), tuple(hosts)) for value, hosts in allowed]
    return found if gang.domain_required else [*found, everywhere]
