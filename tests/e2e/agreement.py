"""Whether objects, the agents' reports and the process table say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import psutil

from migctl.embedded.kubelet import launcher
from migctl.objects import Claim, GpuNode, Phase
from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.environment import CLAIM as CLAIM_VARIABLE
from tests.e2e.embedded import Embedded

Held = tuple[str, str | None, int | None]
"""A claim, and the profile and start of its MIG instance."""


def launchers() -> Counter[str]:
    """How many launchers each claim has."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            claim = process.environ().get(CLAIM_VARIABLE)
            if claim and process.status() != psutil.STATUS_ZOMBIE and launcher.__file__ in process.cmdline():
                found[claim] += 1
        except psutil.Error:
            continue
    return found


def disagreement(one: Embedded) -> str:
    """Where objects, the agents' reports and the process table differ; "" where they agree."""
    reports = [node.status.report for node in one.look(GpuNode) if node.status.report is not None]
    claims = {claim.meta.uid: claim for claim in one.look(Claim)}
    granted = {uid: claim for uid, claim in claims.items() if claim.status.allocation is not None}
    held = {uid for report in reports for uid in report.held}
    if held != set(granted):
        return f"the agent holds {held}, the store says {set(granted)}"
    for claim in granted.values():
        if claim.status.phase is not Phase.RUNNING:
            return f"{claim.meta.name} has a place and does not run"
    launched = launchers()
    if any(launched[uid] != 1 for uid in granted):
        return f"launchers {launched}, running claims {set(granted)}"
    return _misplaced(reports, granted)


def _misplaced(reports: list[NodeReport], granted: Mapping[str, Claim]) -> str:
    gpus = [gpu for report in reports for gpu in report.gpus]
    there: Counter[Held] = Counter((i.claim, i.profile, i.start) for gpu in gpus for i in gpu.instances if i.claim)
    there.update((part.claim, None, None) for gpu in gpus for part in gpu.parts)
    there.update((gpu.held_by, None, None) for gpu in gpus if gpu.held_by)
    wanted = Counter(
        (uid, share.profile, share.start)
        for uid, claim in granted.items()
        for share in (claim.status.allocation.devices if claim.status.allocation else ())
    )
    if there != wanted:
        return f"on the GPUs: {there}; in the store: {wanted}"
    for gpu in gpus:
        taken = [unit for i in gpu.instances for unit in range(i.start, i.start + i.size)]
        if len(taken) != len(set(taken)):
            return f"instances overlap: {gpu.instances}"
    return ""
