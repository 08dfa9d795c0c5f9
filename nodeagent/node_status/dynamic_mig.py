"""The MIG modes that an admin sets for a node and its GPUs, against what the node's status says of them.

A GPU with a mode of its own follows that, the others the node's. A switch that waits for a GPU reset, or that
was refused, is tried again as long as the mode is desired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from nodeagent.contract.allocation import AgentError
from nodeagent.gpu.mig_mode import ModeChange, Outcome

_log = structlog.get_logger("nodeagent")


class ModeSwitch(Protocol):
    """What is needed of the agent. The calls block, may be repeated and raise AgentError."""

    def with_mig(self) -> tuple[str, ...]: ...

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]: ...


@dataclass(frozen=True, slots=True)
class ModeStatus:
    """What became of a desired mode. `message`: why it is pending or refused, and what to do."""

    wanted: bool
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class DesiredModes:
    """node: of every GPU that has none of its own; None: as it was found. gpus: by UUID, those that have."""

    node: bool | None = None
    gpus: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModeStatuses:
    """What became of the node's mode, and by UUID of each GPU's own."""

    node: ModeStatus | None = None
    gpus: Mapping[str, ModeStatus] = field(default_factory=dict)


def is_done(desired: DesiredModes, status: ModeStatuses) -> bool:
    """Whether nothing is left to do: every desired mode is set, and of no other anything is said."""
    return (
        _is_set(desired.node, status.node)
        and desired.gpus.keys() == status.gpus.keys()
        and all(_is_set(on, status.gpus[gpu]) for gpu, on in desired.gpus.items())
    )


def reconcile(agent: ModeSwitch, desired: DesiredModes, status: ModeStatuses) -> ModeStatuses:
    """Take one step towards the desired modes; returns what the status must say then.

    Each GPU with a mode of its own is switched by itself. Of the others none is where one of them is in use.
    """
    if is_done(desired, status):
        return status
    gpus = {
        gpu: known if (known := status.gpus.get(gpu)) and _is_set(on, known) else _switch(agent, on, (gpu,), known)
        for gpu, on in desired.gpus.items()
    }
    follows_again = bool(status.gpus.keys() - desired.gpus.keys())
    if desired.node is None or (_is_set(desired.node, status.node) and not follows_again):
        return ModeStatuses(status.node if desired.node is not None else None, gpus)
    return ModeStatuses(_switch_others(agent, desired.node, desired.gpus, status.node), gpus)


def _is_set(desired: bool | None, status: ModeStatus | None) -> bool:
    if desired is None or status is None:
        return desired is None and status is None
    return (status.wanted, status.outcome) == (desired, Outcome.DONE)


def _switch_others(agent: ModeSwitch, on: bool, own: Collection[str], before: ModeStatus | None) -> ModeStatus:
    """Switch every GPU that has no mode of its own."""
    others = tuple(gpu for gpu in agent.with_mig() if gpu not in own) if own else None
    if others == ():
        return ModeStatus(on, Outcome.DONE, "no GPU follows it: each that has MIG has a mode of its own")
    return _switch(agent, on, others, before)


def _switch(agent: ModeSwitch, on: bool, gpus: Collection[str] | None, before: ModeStatus | None) -> ModeStatus:
    """Refused if any GPU refuses, else pending if any waits. gpus: None: all of the node."""
    try:
        changed = _summary(on, agent.set_dynamic_mig(on, gpus))
    except AgentError as error:
        changed = ModeStatus(on, Outcome.REFUSED, str(error))
    if changed != before:
        named = {} if gpus is None else {"gpus": list(gpus)}
        _log.info("switched MIG mode", on=on, outcome=changed.outcome.value, reason=changed.message, **named)
    return changed


def _summary(on: bool, changes: Sequence[ModeChange]) -> ModeStatus:
    worst = max((c.outcome for c in changes), key=[Outcome.DONE, Outcome.PENDING, Outcome.REFUSED].index)
    reasons = "; ".join(f"GPU {c.index}: {c.reason}" for c in changes if c.outcome is worst and c.reason)
    return ModeStatus(on, worst, reasons)
