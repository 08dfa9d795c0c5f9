"""MIG mode as an admin wants it of a node: the wish carried to the agent, and one answer for the node.

A wish that waits for a GPU reset, or that was refused, is carried out again as long as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nodeagent.contract.allocation import AgentError
from nodeagent.gpu.mig_mode import ModeChange, Outcome


class ModeSwitch(Protocol):
    """What is needed of the agent. The call blocks, repeats safely and raises AgentError."""

    def set_dynamic_mig(self, on: bool) -> tuple[ModeChange, ...]: ...


@dataclass(frozen=True, slots=True)
class ModeStatus:
    """What became of a wish. `message`: why it is pending or refused, and what to do."""

    wanted: bool
    outcome: Outcome
    message: str = ""


def carry_out(agent: ModeSwitch, on: bool) -> ModeStatus:
    """Refused if any GPU refuses, else pending if any waits."""
    try:
        return _joined(on, agent.set_dynamic_mig(on))
    except AgentError as error:
        return ModeStatus(on, Outcome.REFUSED, str(error))


def _joined(on: bool, changes: Sequence[ModeChange]) -> ModeStatus:
    worst = max((c.outcome for c in changes), key=[Outcome.DONE, Outcome.PENDING, Outcome.REFUSED].index)
    reasons = "; ".join(f"GPU {c.index}: {c.reason}" for c in changes if c.outcome is worst and c.reason)
    return ModeStatus(on, worst, reasons)
