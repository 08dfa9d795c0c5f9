"""Delete, suspend and resume, of one workload and of many."""

from __future__ import annotations

from uuid import uuid4

from migctl.api.v1.errors import refusal
from migctl.api.v1.schemas.submissions import BatchAction, BatchFailure, BatchOutcome, InferenceChange, WorkloadBatch
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.found import workload_of
from migctl.api.v1.workloads.record import spec_out
from migctl.api.v1.workloads.spec_in import replicas, sent_names
from migctl.backends.http.wire import error_status
from migctl.backends.protocol import Conflict, ControlPlaneError
from migctl.objects import Workload


async def act(door: CallersService, workload: Workload, action: BatchAction) -> None:
    """Do it, unless it is done already. Raises Conflict for what is over, and what rights raise."""
    if action is BatchAction.DELETE:
        await door.control.delete(workload)
        return
    if workload.meta.deleting is not None or workload.status.phase.finished:
        state = "being deleted" if workload.meta.deleting else workload.status.phase
        raise Conflict(f"workload {workload.meta.name} is {state}: you cannot {action} it")
    await door.control.patch(workload, {"spec": {"suspended": action is BatchAction.SUSPEND}})


async def batch(door: CallersService, sent: WorkloadBatch) -> BatchOutcome:
    """Do the same to each; what cannot be done to one keeps nothing from the others."""
    succeeded, failed = [], []
    for uid in dict.fromkeys(sent.ids):
        try:
            await act(door, await workload_of(door, uid), sent.action)
            succeeded.append(uid)
        except ControlPlaneError as error:
            failed.append(BatchFailure(id=uid, code=error_status(error), message=str(error)))
    return BatchOutcome(id=str(uuid4()), succeeded=succeeded, failed=failed)


async def change_inference(door: CallersService, workload: Workload, sent: InferenceChange) -> Workload:
    """The workload with another number of replicas. Raises Invalid where anything else would change."""
    spec = sent.spec
    wanted = workload.spec.parallelism if spec is None or spec.autoscaling is None else replicas(spec)
    if spec is not None:
        now = spec_out(workload).model_dump(by_alias=True, exclude_none=True)
        for name, value in spec.model_dump(by_alias=True, exclude_none=True, exclude={"autoscaling"}).items():
            if now.get(name) != value:
                raise refusal(
                    f"spec.{name}",
                    "cannot be changed after the submission",
                    "delete it and submit it again; autoscaling can be changed",
                )
    with sent_names():
        return await door.control.patch(workload, {"spec": {"parallelism": wanted}})
