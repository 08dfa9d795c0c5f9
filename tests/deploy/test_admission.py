"""What submit makes says all that was submitted: it reads back as the same workload."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from migctl import admission
from migctl.backends.kubernetes.meaning import requests
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import JOBS
from migctl.backends.kubernetes.user.manifests import RESOURCES, as_typed, literal, manifest
from migctl.backends.protocol import Invalid
from migctl.objects import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    GangSpec,
    GpuRequest,
    Meta,
    Phase,
    Workload,
    WorkloadSpec,
    WorkloadType,
)
from solver.model.demand import Grant
from tests.fakes.kubernetes_api.storage import Json

EXPANDED = ["$$", "$(date)", "$$(A)", "a$b", "echo $$; $(date) $x"]
ARGUMENTS = st.sampled_from(EXPANDED) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z0-9]", fullmatch=True)
DEVICES = st.integers(1, 8)
REQUESTS = st.one_of(
    st.builds(GpuRequest, fraction=st.integers(1, 999).map(lambda n: n / 1000), devices=DEVICES),
    st.builds(GpuRequest, memory_mib=st.integers(100, 10**6), devices=DEVICES),
    st.builds(GpuRequest, profile=st.sampled_from(["1g.5gb", "2g.10gb", "1g.5gb+me"]), devices=DEVICES),
    st.builds(GpuRequest, devices=DEVICES),
)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    kind = draw(st.sampled_from(WorkloadType))
    command = tuple(draw(st.lists(ARGUMENTS, max_size=4)))
    spec = WorkloadSpec(
        type=kind,
        gpu_request=draw(REQUESTS),
        image=draw(NAMES),
        command=command,
        entrypoint=bool(command) and draw(st.booleans()),
        environment=draw(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), ARGUMENTS, max_size=3)),
        user=draw(NAMES),
        preemptible=draw(st.booleans()),
        suspended=draw(st.booleans()),
        pools=tuple(draw(st.lists(NAMES, max_size=3))),
    )
    if kind is not WorkloadType.WORKSPACE:
        spec = replace(spec, parallelism=draw(st.integers(1, 5)))
        if spec.parallelism > 1 and draw(st.booleans()):
            size = draw(st.integers(2, spec.parallelism))
            spec = replace(spec, gang=GangSpec(size=size, domain=draw(st.none() | NAMES)))
    if RESOURCES[kind] is JOBS:
        completions = draw(st.none() | st.integers(1, 9).filter(lambda n: n != spec.parallelism))
        ttl = draw(st.none() | st.integers(0, 10**6))
        spec = replace(spec, completions=completions, backoff_limit=draw(st.integers(0, 9)), ttl_after_finish_s=ttl)
    return Workload(meta=Meta(name=draw(NAMES), project="team-a"), spec=admission.ranked(spec))


def stored(workload: Workload) -> Json:
    """The object as an API server answers it."""
    body = manifest(workload)
    body["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2030-01-01T00:00:00Z"}
    return body


def read(workload: Workload, *claims: Claim) -> Workload | None:
    resource = RESOURCES[workload.spec.type]
    raw = resource.one.decode(msgspec.json.encode(stored(workload)))
    if resource is JOBS:
        return reading.job(raw, claims)
    return reading.replicated(raw, requests.BY_OWNER[resource.title], claims)


@given(workloads())
def test_a_workload_reads_back_as_it_was_submitted(workload: Workload) -> None:
    back = read(workload)
    assert back is not None
    assert back.spec == workload.spec
    assert (back.meta.name, back.meta.project) == (workload.meta.name, "team-a")
    assert back.status.phase is (Phase.SUSPENDED if workload.spec.suspended else Phase.PENDING)


@pytest.mark.parametrize(
    ("text", "written"),
    [("echo $x", "echo $x"), ("echo $(date)", "echo $$(date)"), ("echo $$", "echo $$$$"), ("$x $(y)", "$$x $$(y)")],
)
def test_what_a_shell_would_expand_is_left_to_it(text: str, written: str) -> None:
    assert literal(text) == written
    assert as_typed(written) == text


def test_what_keeps_a_pod_from_starting_is_said_of_its_workload() -> None:
    spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(), image="busibox")
    why = ClaimStatus(
        phase=Phase.INITIALIZING, reason="ErrImagePull", message="no such image", allocation=Grant("node-a", ())
    )
    pod = Claim(
        meta=Meta(name="w-x", project="team-a"),
        spec=ClaimSpec(workload="w", workload_uid="u", gpu_request=spec.gpu_request),
        status=why,
    )
    back = read(Workload(meta=Meta(name="w", project="team-a"), spec=spec), pod)
    assert back is not None
    assert (back.status.phase, back.status.reason, back.status.message) == (why.phase, why.reason, why.message)


def test_without_an_image_nothing_is_made() -> None:
    spec = WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest())
    with pytest.raises(Invalid, match="container image"):
        manifest(Workload(meta=Meta(name="w", project="team-a"), spec=spec))
