"""A workload's status, derived from its claims: phase, reason and counts."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from migctl.objects import Claim, ClaimSpec, ClaimStatus, Meta, Phase, Workload, WorkloadStatus, WorkloadType

SHELL_CODES = {126: "its command cannot be executed", 127: "its command was not found"}
"""What shells, and who starts containers, mean by an exit code."""
DRAINED = "Drained"
"""The reason of a claim that is stopped because its node is drained."""
FATAL = 128
"""Added to the number of the signal that ended a program."""


def ending(code: int) -> str:
    """How a program ended, in words: `exit code 127: its command was not found`, `killed by signal 9 (SIGKILL)`."""
    if code - FATAL in signal.valid_signals():
        number = code - FATAL
        known = number in list(signal.Signals)
        return f"killed by signal {number}" + (f" ({signal.Signals(number).name})" if known else "")
    return f"exit code {code}" + (f": {SHELL_CODES[code]}" if code in SHELL_CODES else "")


def index_count(workload: Workload) -> int:
    """How many pod numbers the workload has."""
    return workload.spec.completions or workload.spec.parallelism


def first_indexes(workload: Workload) -> range:
    """The numbers of the pods that come first: so many run side by side."""
    return range(min(workload.spec.parallelism, index_count(workload)))


def first_claims(workload: Workload, now: datetime) -> tuple[Claim, ...]:
    """The claims of the pods that come first if the workload is submitted now; their uids are made up."""
    submitted = replace(workload, meta=replace(workload.meta, created=now))
    return tuple(
        Claim(
            meta=Meta(
                name=f"{workload.meta.name}-{index}-0",
                project=workload.meta.project,
                uid=imagined_uid(index),
                created=now,
            ),
            spec=ClaimSpec.of(submitted, index),
        )
        for index in first_indexes(workload)
    )


def imagined_uid(index: int) -> str:
    """The uid of the claim of a pod that does not exist."""
    return f"imagined-{index:05}"


def summary(workload: Workload, claims: list[Claim]) -> WorkloadStatus:
    """The workload's status, derived from its claims; a finished phase stays."""
    phases = [claim.status.phase for claim in claims if claim.meta.deleting is None]
    stopping = [claim for claim in claims if claim.meta.deleting is not None]
    failed = sum(phase is Phase.FAILED for phase in phases)
    succeeded = len({c.spec.index for c in claims if c.status.phase is Phase.COMPLETED})
    phase, reason, message = _phase(workload, claims, stopping, failed, succeeded)
    return WorkloadStatus(
        phase=phase,
        reason=reason,
        message=message,
        pending=sum(p is Phase.PENDING for p in phases),
        running=sum(p is Phase.RUNNING for p in phases),
        succeeded=succeeded,
        failed=failed,
        started=min((c.status.started for c in claims if c.status.started is not None), default=None)
        or workload.status.started,
        finished=workload.status.finished,
    )


def with_claims_reason(status: WorkloadStatus, claims: Sequence[Claim]) -> WorkloadStatus:
    """The status with the reason of a claim that does not run: an image that cannot be pulled, and the like."""
    stuck = (claim.status for claim in claims if claim.status.reason and claim.status.phase is not Phase.RUNNING)
    first = next(stuck, None)
    return status if first is None else replace(status, reason=first.reason, message=first.message)


def shown_phase(workload: Workload) -> Phase:
    """The phase to show: Terminating as soon as the workload's deletion is requested."""
    return Phase.TERMINATING if workload.meta.deleting else workload.status.phase


def holds(pod: Claim) -> bool:
    """Whether a pod has its share now."""
    return pod.status.allocation is not None and not pod.status.phase.finished


def allocated(pod: Claim) -> float:
    """What a pod holds, in GPUs of the quota currency."""
    if pod.status.allocation is None or not holds(pod):
        return 0.0
    return sum(share.portion for share in pod.status.allocation.devices)


def explanation(status: WorkloadStatus | ClaimStatus) -> str:
    """Why a workload or a pod is in its phase: a sentence where there is one, otherwise the reason's word."""
    return _message(status) or status.reason


def reason_and_message(status: WorkloadStatus | ClaimStatus) -> str:
    """The reason's word and its sentence, as `Reason: sentence`; only one of them where there is no other."""
    return ": ".join(part for part in (status.reason, _message(status)) if part)


def _message(status: WorkloadStatus | ClaimStatus) -> str:
    evicted = status.evicted if isinstance(status, ClaimStatus) else ""
    return evicted or status.message


def _phase(
    workload: Workload, claims: list[Claim], stopping: list[Claim], failed: int, succeeded: int
) -> tuple[Phase, str, str]:
    if workload.status.phase.finished:
        return workload.status.phase, workload.status.reason, workload.status.message
    if workload.spec.suspended:
        return (Phase.TERMINATING, "", "") if stopping else (Phase.SUSPENDED, "", "")
    endless = workload.spec.type is WorkloadType.WORKSPACE
    if not endless and succeeded >= index_count(workload):
        return Phase.COMPLETED, "", ""
    if not endless and failed > workload.spec.backoff_limit:
        return Phase.FAILED, "BackoffLimitExceeded", f"{failed} failed pods; the last: {_last_failure(claims)}"
    living = [c for c in claims if c.meta.deleting is None and not c.status.phase.finished]
    if any(c.status.phase is Phase.RUNNING for c in living):
        return Phase.RUNNING, "", ""
    if any(c.status.allocation is not None for c in living):
        return Phase.INITIALIZING, "", ""
    preempted = next((c for c in stopping if c.status.evicted), None)
    if preempted is not None:
        return Phase.PREEMPTED, "Preempted", preempted.status.evicted
    waiting = next((c for c in living if c.status.reason), None)
    if waiting is not None:
        return Phase.PENDING, waiting.status.reason, waiting.status.message
    if failed and not living:
        again = "it is tried again, later each time"
        return Phase.PENDING, "BackOff", f"{failed} failed pods; the last: {_last_failure(claims)}; {again}"
    if endless and succeeded and not living:
        return Phase.PENDING, "BackOff", "its program ends with exit code 0; it is started again, later each time"
    return Phase.PENDING, workload.status.reason, workload.status.message


def _last_failure(claims: list[Claim]) -> str:
    failed = (c for c in claims if c.status.phase is Phase.FAILED)
    return max(failed, key=lambda c: int(c.meta.version)).status.message
