"""The reasons of a workload's pods, with the facts as data, and the claims that are in their way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migctl.backends import workload_status
from migctl.backends.workload_status import holds
from migctl.objects import API_VERSION, Claim, PlacementPlan, Workload, to_builtins

if TYPE_CHECKING:
    from solver.model.reasons import Unplaced


@dataclass(frozen=True)
class WhyItWaits:
    """A workload, the newest plan about it, and what the planner says of its waiting pods now.

    unplaced  by claim uid, of one snapshot: the reasons and the claims in the way cannot disagree
    claims    those that the reader may see, by uid; at least those in the way
    leaving   what those pods wait for that are told to stop and cannot
    """

    workload: Workload
    pods: tuple[Claim, ...]
    plan: PlacementPlan | None
    unplaced: Mapping[str, Unplaced]
    claims: Mapping[str, Claim]
    leaving: Sequence[str] = ()

    @property
    def blockers(self) -> list[Claim]:
        """The claims whose end would free the nearest slot, each once."""
        found = [reason.blockers for reason in self.unplaced.values() if reason.blockers]
        uids = dict.fromkeys(uid for blockers in found for uid in blockers.claims)
        return [claim for uid in uids if (claim := self.claims.get(uid)) and holds(claim)]

    @property
    def reasons(self) -> Counter[str]:
        """Reasons as sentences, with how many pods each is of."""
        pods = [pod for pod in self.pods if not holds(pod)]
        reasons = Counter(self.leaving)
        reasons.update(text for pod in pods if (text := _reason(pod, self.unplaced.get(pod.meta.uid))))
        if not reasons and (text := workload_status.explanation(self.workload.status)):
            reasons[text] = 1
        return reasons

    def document(self) -> dict[str, Any]:
        """The answer for machines."""
        return {
            "apiVersion": API_VERSION,
            "kind": "WorkloadExplanation",
            "workload": self.workload.meta.name,
            "project": self.workload.meta.project,
            "phase": workload_status.shown_phase(self.workload).value,
            "reasons": list(self.reasons),
            "facts": [_facts(uid, reason) for uid, reason in self.unplaced.items()],
            "plan": self.plan.meta.name if self.plan else None,
            "blockers": [
                {"workload": claim.spec.workload, "project": claim.meta.project, "claim": claim.meta.uid}
                for claim in self.blockers
            ],
        }


def waiting_of(pods: Sequence[Claim]) -> set[str]:
    """The uids of the pods that have no place."""
    return {pod.meta.uid for pod in pods if pod.status.allocation is None}


def plan_about(newest_first: Sequence[PlacementPlan], waiting: set[str]) -> PlacementPlan | None:
    """The newest plan that has an outcome for one of these claims."""
    return next((plan for plan in newest_first if any(o.claim in waiting for o in plan.spec.outcomes)), None)


def _reason(pod: Claim, unplaced: Unplaced | None) -> str:
    from migctl.reason_text import sentence

    if unplaced is None or pod.meta.deleting is not None:
        return workload_status.reason_and_message(pod.status)
    return f"{unplaced.code}: {sentence(unplaced)}"


def _facts(claim: str, reason: Unplaced) -> dict[str, Any]:
    """A reason as data: its code, the kind of its facts, and the facts."""
    return {
        "claim": claim,
        "code": reason.code.value,
        "kind": type(reason.facts).__name__,
        **{name: to_builtins(getattr(reason, name)) for name in ("facts", "gang", "figures", "blockers", "cordoned")},
    }
