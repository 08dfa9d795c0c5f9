"""Exactly one workload for a submission, however often it arrives.

A client that gets no answer sends the same again. What was sent, and by whom, is kept as a label of the workload: what
arrives again within minutes is answered with the workload that there is, also by a control plane that was started anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import timedelta

from msgspec.structs import replace

from migctl import admission
from migctl.api.v1.schemas.submissions import Submission
from migctl.api.v1.schemas.workload_specs import CommonSpec
from migctl.api.v1.service import CallersService
from migctl.api.v1.workloads.found import project_name
from migctl.api.v1.workloads.record import REQUESTED_NAME, created_at
from migctl.api.v1.workloads.spec_in import OWN_LABELS, labels, sent_names, workload_spec
from migctl.backends.protocol import AlreadyExists, NotFound
from migctl.objects import Meta, Workload, WorkloadType

SUBMISSION = f"{OWN_LABELS}submission"
"""Label of a submitted workload: what was sent and by whom, as a hash."""
SAME_FOR = timedelta(minutes=5)
"""How long the same that arrives again is the same submission."""
ENDING_LENGTH = 6
LONGEST_NAME = 63


async def submit(door: CallersService, kind: WorkloadType, sent: Submission, spec: CommonSpec) -> Workload:
    """The workload that was made, or was made of the same submission. Raises what admission and rights raise."""
    described = described_by(door, kind, sent, spec)
    project, prefixed = described.meta.project, bool(sent.use_given_name_as_prefix)
    told = _hash(door.caller.user, kind, project, sent.name, prefixed, spec)
    wanted = replace(described, meta=replace(described.meta, labels={**described.meta.labels, SUBMISSION: told}))
    made = await (_created_with_prefix(door, wanted, told) if prefixed else _created(door, wanted))
    await door.service.view.absorb(made)
    return made


def described_by(door: CallersService, kind: WorkloadType, sent: Submission, spec: CommonSpec) -> Workload:
    """The workload that a submission describes. Raises Invalid, and NotFound for another cluster."""
    _check_cluster(door, sent.cluster_id)
    meta = Meta(name=sent.name, project=project_name(door, sent.project_id), labels=labels(spec))
    return Workload(meta=meta, spec=workload_spec(kind, spec))


async def _created(door: CallersService, wanted: Workload) -> Workload:
    try:
        with sent_names():
            return await door.control.create(wanted)
    except AlreadyExists:
        there = await _found(door, wanted)
        if there is None or not _is_same(door, there, wanted):
            raise
        return there


async def _created_with_prefix(door: CallersService, wanted: Workload, told: str) -> Workload:
    """Each attempt at a name is the same one for the same submission, so that two at once meet in one workload."""
    prefix = wanted.meta.name
    if not admission.NAME.fullmatch(prefix):
        return await _created(door, wanted)
    listed = await door.control.list(Workload, wanted.meta.project)
    there = next((one for one in listed.items if _is_same(door, one, wanted)), None)
    if there is not None:
        return there
    kept = {**wanted.meta.labels, REQUESTED_NAME: prefix}
    for number in itertools.count():
        ending = hashlib.sha256(f"{told} {number}".encode()).hexdigest()[:ENDING_LENGTH]
        name = f"{prefix[: LONGEST_NAME - ENDING_LENGTH - 1]}-{ending}"
        try:
            return await _created(door, replace(wanted, meta=replace(wanted.meta, name=name, labels=kept)))
        except AlreadyExists:
            continue
    raise AssertionError("the numbers have no end")


async def _found(door: CallersService, wanted: Workload) -> Workload | None:
    try:
        return await door.control.get(Workload, wanted.meta.name, wanted.meta.project)
    except NotFound:
        return None


def _is_same(door: CallersService, there: Workload, wanted: Workload) -> bool:
    """Whether a workload was made of the same submission, lately, and stays."""
    return (
        there.meta.labels.get(SUBMISSION) == wanted.meta.labels[SUBMISSION]
        and there.spec.user == door.caller.user
        and there.meta.deleting is None
        and door.service.clock() - created_at(there) <= SAME_FOR
    )


def _hash(user: str, kind: WorkloadType, project: str, name: str, prefixed: bool, spec: CommonSpec) -> str:
    sent = [user, kind, project, name, prefixed, spec.model_dump(mode="json", exclude_none=True)]
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()[:32]


def _check_cluster(door: CallersService, sent: str | None) -> None:
    cluster = door.service.cluster
    if sent is not None and sent not in (cluster.uid, cluster.name):
        raise NotFound(f"clusterId: there is no cluster {sent[:64]!r} here", hint="GET /api/v1/clusters names the one")
