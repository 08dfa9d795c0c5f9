"""The verdict on a submission that is not sent."""

from __future__ import annotations

import secrets

from msgspec.structs import replace
from starlette.exceptions import HTTPException

from migctl.access.caller import Place, refused
from migctl.access.rights import Verb
from migctl.api.v1.errors import refusal
from migctl.api.v1.schemas.verdicts import Question, VerdictOut
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.spec_in import sent_names
from migctl.api.v1.workloads.submission import described_by
from migctl.objects import Workload, WorkloadType, to_builtins


async def verdict_on(door: CallersService, sent: Question) -> VerdictOut:
    """What would become of it now. Raises what submitting it would raise, and HTTPException where nobody judges."""
    kind = WorkloadType(sent.type.lower())
    if sent.spec is None:
        raise refusal("spec", "says what is to run, and is missing", "image and compute at least")
    wanted = described_by(door, kind, sent, sent.spec)
    project = wanted.meta.project
    if not await door.may(Verb.CREATE, Workload.PLURAL, project):
        raise refused(Verb.CREATE, Workload.PLURAL, Place(project))
    if door.service.planner is None:
        raise HTTPException(501, "verdicts are not given here: `migctl submit --verdict` decides with your kubeconfig")
    if not sent.name or sent.use_given_name_as_prefix:
        wanted = replace(wanted, meta=replace(wanted.meta, name=_free_name(sent.name or kind.value)))
    wanted = replace(wanted, spec=replace(wanted.spec, user=door.caller.user))
    with sent_names():
        verdict = await door.service.planner(wanted, door.seen.sees_project)
    told = {key: value for key, value in to_builtins(verdict).items() if key not in ("kind", "meta")}
    about = {"name": wanted.meta.name, "projectName": project, "createdAt": verdict.meta.created}
    return VerdictOut.model_validate({**about, **told})


def _free_name(prefix: str) -> str:
    """A name that nobody has."""
    return f"{prefix[:54]}-{secrets.token_hex(4)}"
