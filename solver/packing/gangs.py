"""Where the members of a gang may go: anywhere, or within one topology domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from solver.model.demand import Gang
from solver.packing.occupancy import Cluster, Host

Domain = Sequence[Host] | None


def domains(cluster: Cluster, gang: Gang | None, nodes: Iterable[str]) -> list[Domain]:
    """Domains the gang may use, the fullest first; None is anywhere. `nodes`, where members are already, fix it."""
    if gang is None or gang.domain is None:
        return [None]
    values: dict[str, list[Host]] = {}
    for host in cluster.hosts.values():
        if (value := host.node.labels.get(gang.domain)) is not None:
            values.setdefault(value, []).append(host)
    fixed = {cluster.hosts[name].node.labels.get(gang.domain) for name in nodes if name in cluster.hosts}
    allowed = [hosts for value, hosts in sorted(values.items()) if not fixed or fixed == {value}]
    fullest_first = sorted(allowed, key=lambda hosts: -sum(host.used for host in hosts))
    return [*fullest_first] if gang.domain_required else [*fullest_first, None]
