"""Where the edits of a prepared claim's containers come from: sources in order, each given the edits so far."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from nodeagent.cdi import edits as cdi
from nodeagent.cdi.edits import READ_ONLY, CdiMount, ContainerEdits
from nodeagent.contract import environment
from nodeagent.contract.allocation import Prepared

LIMITS = "/run/migctl/limits.json"
"""Path of the limits file in a container."""

_OF_THE_HOST = {environment.SIMULATED, environment.PATH_PREFIX, environment.CGROUP}  # paths that are not in a container


class EditSource(Protocol):
    """One part of the edits. May be called again for the same claim, also after the agent's restart."""

    def check(self) -> None:
        """Raises Unsupported, with what to do, where no container could be given a GPU here."""

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        """The edits with this part added. Raises AgentError or OSError."""

    def remove(self, claim: str) -> None:
        """Remove what `apply` wrote for a released claim. Raises OSError."""

    def claims(self) -> Collection[str]:
        """The claims that `apply` wrote something for that is not removed yet. Raises OSError."""


class Variables:
    """The environment of a prepared claim, and the file with its limits where there is one."""

    def check(self) -> None:
        return

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        variables = {k: v for k, v in prepared.environment.items() if k not in _OF_THE_HOST}
        limits = variables.get(environment.LIMITS)
        if limits is not None:
            variables[environment.LIMITS] = LIMITS
            edits += ContainerEdits(mounts=(CdiMount(limits, LIMITS, READ_ONLY),))
        return edits + cdi.environment(variables)

    def remove(self, claim: str) -> None:
        return

    def claims(self) -> Collection[str]:
        return ()


class Sources:
    """Several sources, in order."""

    def __init__(self, sources: Sequence[EditSource]) -> None:
        self._sources = sources

    def check(self) -> None:
        for source in self._sources:
            source.check()

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        for source in self._sources:
            edits = source.apply(prepared, edits)
        return edits

    def remove(self, claim: str) -> None:
        for source in self._sources:
            source.remove(claim)

    def claims(self) -> Collection[str]:
        return {claim for source in self._sources for claim in source.claims()}
