"""The MIG mode that an admin sets for a node: the desired mode against what the node's status says of it.

A switch that waits for a GPU reset, or that was refused, is tried again as long as the mode is desired.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.gpu.mig_mode import ModeChange, Outcome

_log = structlog.get_logger("nodeagent")


class ModeSwitch(Protocol):
    """What is needed of the agent. The call blocks, may be repeated and raises AgentError."""

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]: ...


@dataclass(frozen=True, slots=True)
class ModeStatus:
    """What became of a desired mode. `message`: why it is pending or refused, and what to do."""

    wanted: bool
    outcome: Outcome
    message: str = ""


def is_done(desired: bool | None, status: ModeStatus | None) -> bool:
    """Whether nothing is left to do: no mode is desired and none was, or the desired one is set."""
    if desired is None or status is None:
        return desired is None and status is None
    return (status.wanted, status.outcome) == (desired, Outcome.DONE)


def reconcile(agent: ModeSwitch, desired: bool | None, status: ModeStatus | None) -> ModeStatus | None:
    """Take one step towards the desired mode; returns what the status must say then."""
    if is_done(desired, status):
        return status
    if desired is None:
        return None
    changed = _switch(agent, desired)
    if changed != status:
        _log.info("switched MIG mode", on=desired, outcome=changed.outcome.value, reason=changed.message)
    return changed


def _switch(agent: ModeSwitch, on: bool) -> ModeStatus:
    """Refused if any GPU refuses, else pending if any waits."""
    try:
        return _summary(on, agent.set_dynamic_mig(on))
    except AgentError as error:
        return ModeStatus(on, Outcome.REFUSED, str(error))


def _summary(on: bool, changes: Sequence[ModeChange]) -> ModeStatus:
    worst = max((c.outcome for c in changes), key=[Outcome.DONE, Outcome.PENDING, Outcome.REFUSED].index)
    reasons = "; ".join(f"GPU {c.index}: {c.reason}" for c in changes if c.outcome is worst and c.reason)
    return ModeStatus(on, worst, reasons)
