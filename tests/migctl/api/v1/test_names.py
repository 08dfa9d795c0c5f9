"""No name of what a caller may not see is in any text that he is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migctl.access.caller import OWNER, Caller, Rights
from migctl.access.hidden_names import HiddenNames
from migctl.access.visible import VisibleObjects
from migctl.objects import Event, EventSpec, GpuRequest, Meta, Project, Role, Workload, WorkloadSpec, WorkloadType
from tests.migctl.api.v1.conftest import Served, having
from tests.migctl.api.v1.workloads.bodies import body

pytestmark = pytest.mark.anyio

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(lambda name: name != "ada")


class Stored:
    """A view of these objects."""

    synced = True

    def __init__(self, *objects: Any) -> None:
        self._objects = objects

    def all(self, kind: Any) -> Any:
        return tuple(one for one in self._objects if isinstance(one, kind))

    def get(self, kind: Any, name: str, project: str = "") -> Any:
        found = (one for one in self.all(kind) if (one.meta.name, one.meta.project) == (name, project))
        return next(found, None)

    async def absorb(self, obj: Any) -> None:
        raise NotImplementedError

    async def wait(self, seen: int, timeout: float | None = None) -> int:
        raise NotImplementedError


def spec_of(user: str) -> WorkloadSpec:
    return WorkloadSpec(type=WorkloadType.TRAINING, gpu_request=GpuRequest(), user=user)


def names_for(view: Stored, project: str) -> HiddenNames:
    rights = Rights(Caller("ada", having(Role.RESEARCHER, project=project)), lambda _: "")
    return HiddenNames(view, VisibleObjects(view, rights), "ada")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(NAMES, min_size=6, max_size=6, unique=True), st.sampled_from([" ", "; ", ", ", ": ", " (", "' "]))
def test_hidden_names_are_replaced_and_all_else_stays(words: list[str], between: str) -> None:
    mine, other, my_job, job, user, plain = words
    view = Stored(
        Project(meta=Meta(name=mine)),
        Project(meta=Meta(name=other)),
        Workload(meta=Meta(name=my_job, project=mine), spec=spec_of("ada")),
        Workload(meta=Meta(name=job, project=other), spec=spec_of(user)),
    )
    text = between.join((plain, f"{mine}/{my_job}", job, f"{other}/{job}", other, user, f"{other}/gone", plain))
    told = between.join(
        (
            plain,
            f"{mine}/{my_job}",
            "another workload",
            "another workload",
            "another project",
            "another user",
            "another workload",
            plain,
        )
    )
    assert names_for(view, mine).masked(text) == told
    everybody = Rights(Caller("eve", OWNER), lambda _: "")
    assert HiddenNames(view, VisibleObjects(view, everybody), "eve").masked(text) == text


def test_a_text_that_was_masked_stays_as_it_is() -> None:
    view = Stored(Project(meta=Meta(name="mine")), *(Project(meta=Meta(name=name)) for name in ("project", "user")))
    names = names_for(view, "mine")
    once = names.masked("user/job and project are in the way")
    assert once == "another workload and another project are in the way"
    assert names.masked(once) == once


async def test_a_reason_and_an_event_name_others_to_those_only_who_may_see_them(served: Served) -> None:
    answer = await served["outsider"].post("/workloads/trainings", json=body("hidden-job", project="team-b"))
    assert answer.status_code == 202, answer.text
    made = (await served["researcher"].post("/workloads/trainings", json=body("waits"))).json()["workloadId"]
    text = "team-b/hidden-job blocks 4; reclaimed for hidden-job of outsider in team-b"
    waiting = await served.behind.get(Workload, "waits", "team-a")
    await served.behind.patch(waiting, {"status": {"reason": "NoRoom", "message": text}})
    spec = EventSpec(about="Workload/waits", reason="Reclaimed", message=text, uid=made)
    await served.behind.create(Event(meta=Meta(name="e1", project="team-a"), spec=spec))
    await served.settled()
    for path in (f"/workloads/{made}", f"/workloads/{made}/events", f"/workloads/{made}/history", "/workloads"):
        told = (await served["viewer"].get(path)).text
        assert "hidden-job" not in told, path
        assert "team-b" not in told, path
        assert "outsider" not in told, path
        if "history" not in path:
            assert "another workload" in told, path
            assert text in (await served["admin"].get(path)).text
