"""Who changes what in the containers of a prepared claim: a row of sources, each taking up what the one before left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from nodeagent.cdi import edits as cdi
from nodeagent.cdi.edits import READ_ONLY, CdiMount, ContainerEdits
from nodeagent.contract import environment
from nodeagent.contract.allocation import Prepared

LIMITS = "/run/migctl/limits.json"
"""Where a container finds its limits."""

_OF_THE_HOST = {environment.SIMULATED, environment.PATH_PREFIX, environment.CGROUP}  # paths that are not in a container


class EditSource(Protocol):
    """Does its part for a claim. May be asked again for the same claim, also after the agent's restart."""

    def check(self) -> None:
        """Raises Unsupported, with what to do, where no container could be given a GPU here."""

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        """The edits with this part done. Raises AgentError or OSError."""

    def forget(self, claim: str) -> None:
        """The claim was let go: remove what was made for it. Raises OSError."""

    def remembered(self) -> Collection[str]:
        """The claims that something was made for and not removed yet. Raises OSError."""


class Variables:
    """What the agent tells a claim's processes, and the file with its limits where there is one."""

    def check(self) -> None:
        return

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        variables = {k: v for k, v in prepared.environment.items() if k not in _OF_THE_HOST}
        limits = variables.get(environment.LIMITS)
        if limits is not None:
            variables[environment.LIMITS] = LIMITS
            edits += ContainerEdits(mounts=(CdiMount(limits, LIMITS, READ_ONLY),))
        return edits + cdi.environment(variables)

    def forget(self, claim: str) -> None:
        return

    def remembered(self) -> Collection[str]:
        return ()


class Sources:
    """Several, one after the other."""

    def __init__(self, sources: Sequence[EditSource]) -> None:
        self._sources = sources

    def check(self) -> None:
        for source in self._sources:
            source.check()

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        for source in self._sources:
            edits = source.apply(prepared, edits)
        return edits

    def forget(self, claim: str) -> None:
        for source in self._sources:
            source.forget(claim)

    def remembered(self) -> Collection[str]:
        return {claim for source in self._sources for claim in source.remembered()}
