"""Pods with several containers: each that asks for GPUs gets a request of its own, or the pod is refused in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from migctl.backends.kubernetes.meaning import requests
from migctl.backends.kubernetes.user import reading
from migctl.backends.kubernetes.user.kinds import SubmittedPodSpec
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN, User

ANA = User("ana")
SIDECAR = {"restartPolicy": "Always"}


def container(name: str, gpus: int | None = None, **fields: Any) -> Json:
    limits = {} if gpus is None else {"nvidia.com/gpu": str(gpus)}
    return {"name": name, "image": "busybox", "resources": {"limits": limits, "requests": dict(limits)}, **fields}


def spec(*containers: Json, inits: tuple[Json, ...] = ()) -> Json:
    return {"containers": list(containers), "initContainers": list(inits), "restartPolicy": "Never"}


def admitted(api: Operations, of: Json, annotations: dict[str, str] | None = None) -> Json:
    """The pod as it is stored. A Job with such pods is admitted too."""
    template = {"metadata": {"annotations": annotations or {}}, "spec": of}
    api.create(ANA, BY_PLURAL["jobs"], "team-a", {"metadata": {"name": "j"}, "spec": {"template": template}})
    pod = {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": of}
    return api.create(ANA, BY_PLURAL["pods"], "team-a", pod)


def read_alike(pod: Json, of: Json, annotations: dict[str, str] | None = None) -> bool:
    """Whether a list of workloads says of their template what the controller reads of the pod."""
    submitted = msgspec.json.decode(msgspec.json.encode(of), type=SubmittedPodSpec)
    return reading.gpu_request_of(annotations or {}, submitted) == requests.gpu_request(pod["metadata"]["annotations"])


def uses(pod: Json) -> dict[str, str | None]:
    """By which request each container uses the claim: None for all of it; those that do not use it are left out."""
    found = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    claims = {c["name"]: c["resources"].get("claims") for c in found}
    return {name: used[0].get("request") for name, used in claims.items() if used}


def template(pod: Json) -> str:
    return str(pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"])


@pytest.mark.parametrize(
    ("of", "annotations", "named", "asked"),
    [
        (
            spec(container("encode", 1), container("draw", 2), container("log")),
            {},
            {"encode": "gpu-0", "draw": "gpu-1"},
            "gpu-0:encode=1 gpu-1:draw=2",
        ),
        (
            spec(container("a"), container("b")),
            {"gpu-fraction.a": "0.5", "gpu-memory.b": "2000"},
            {"a": "gpu-0", "b": "gpu-1"},
            "gpu-0:a=0.5 gpu-1:b=2000Mi",
        ),
        (
            spec(container("a", 1), container("b")),
            {"migctl.dev/mig-profile.b": "1g.5gb"},
            {"a": "gpu-0", "b": "gpu-1"},
            "gpu-0:a=1 gpu-1:b=1g.5gb",
        ),
        (
            spec(container("main", 1), inits=(container("proxy", 1, **SIDECAR),)),
            {},
            {"proxy": "gpu-0", "main": "gpu-1"},
            "gpu-0:proxy=1 gpu-1:main=1",
        ),
        (
            spec(container("a", 4), container("b", 2), inits=(container("check", 1), container("warm", 4))),
            {},
            {"a": "gpu-0", "b": "gpu-1", "check": "gpu-1", "warm": "gpu-0"},
            "gpu-0:a=4 gpu-1:b=2 gpu-1:check=1 gpu-0:warm=4",
        ),
        (
            spec(container("a"), container("b"), inits=(container("load"),)),
            {"gpu-fraction.a": "0.5", "gpu-fraction.b": "0.25", "gpu-fraction.load": "0.25"},
            {"a": "gpu-0", "b": "gpu-1", "load": "gpu-1"},
            "gpu-0:a=0.5 gpu-1:b=0.25 gpu-1:load=0.25",
        ),
    ],
    ids=["whole", "parts", "whole-and-part", "sidecar", "init", "init-parts"],
)
def test_each_container_has_its_own_request(
    api: Operations, of: Json, annotations: dict[str, str], named: dict[str, str], asked: str
) -> None:
    """All containers with GPUs named one request, and so saw the GPUs of all; a sidecar's were not even counted."""
    pod = admitted(api, of, annotations)
    assert template(pod) == "migctl-gpu-containers"
    assert uses(pod) == named
    assert read_alike(pod, of, annotations)
    assert pod["metadata"]["annotations"]["migctl.dev/gpu-containers"] == asked
    assert "migctl.dev/gpu-devices" not in pod["metadata"]["annotations"]
    assert not any("nvidia.com/gpu" in c["resources"].get("limits", {}) for c in pod["spec"]["containers"])


@pytest.mark.parametrize(
    ("of", "annotations", "users", "devices"),
    [
        (spec(container("main", 2), container("log")), {}, {"main"}, "2"),
        (spec(container("main", 2), inits=(container("check", 1),)), {}, {"main", "check"}, "2"),
        (spec(container("main", 1), inits=(container("check", 3),)), {}, {"main", "check"}, "3"),
        (spec(container("main"), inits=(container("one", 1), container("two", 2))), {}, {"one", "two"}, "2"),
        (spec(container("main"), container("log")), {"gpu-fraction": "0.5"}, {"main"}, None),
        (
            spec(container("log"), container("main")),
            {"gpu-fraction": "0.5", "gpu-fraction-container-name": "main"},
            {"main"},
            None,
        ),
        (spec(container("log", 0), container("main", 1)), {}, {"main"}, "1"),
    ],
    ids=["one", "init", "larger-init", "inits-only", "fraction", "named", "limit-of-none"],
)
def test_a_pod_with_one_container_that_uses_gpus_stays_as_it_was(
    api: Operations, of: Json, annotations: dict[str, str], users: set[str], devices: str | None
) -> None:
    pod = admitted(api, of, annotations)
    assert template(pod) == "migctl-gpu"
    assert uses(pod) == dict.fromkeys(users)
    assert read_alike(pod, of, annotations)
    assert pod["metadata"]["annotations"].get("migctl.dev/gpu-devices") == devices
    assert "migctl.dev/gpu-containers" not in pod["metadata"]["annotations"]


def test_a_part_for_one_container_by_its_name(api: Operations) -> None:
    pod = admitted(api, spec(container("log"), container("main")), {"gpu-fraction.main": "0.5"})
    assert (template(pod), uses(pod)) == ("migctl-gpu", {"main": None})
    assert pod["metadata"]["annotations"]["migctl.dev/gpu-containers"] == "gpu:main=0.5"
    assert read_alike(pod, spec(container("log"), container("main")), {"gpu-fraction.main": "0.5"})


TWO = (container("a"), container("b"))


@pytest.mark.parametrize(
    ("of", "annotations", "said"),
    [
        (spec(*TWO), {"gpu-fraction.c": "0.5"}, "gpu-fraction.c: this pod has no such container; it has a, b"),
        (spec(*TWO), {"gpu-fraction.": "0.5"}, "name part must consist of alphanumeric characters"),
        (spec(*TWO), {"gpu-fraction.x.a": "0.5"}, "has no such container"),
        (spec(*TWO), {"gpu-fraction.a": "1.5"}, "gpu-fraction.a .1.5. is not a part of a GPU"),
        (spec(*TWO), {"gpu-fraction.a": ""}, "is not a part of a GPU"),
        (spec(*TWO), {"gpu-memory.a": "8 Gi"}, "units are"),
        (spec(*TWO), {"gpu-memory.a": "95"}, "at least 100 MB"),
        (spec(*TWO), {"migctl.dev/mig-profile.a": "1g5gb"}, "no MIG profile"),
        (spec(*TWO), {"gpu-fraction": "0.5", "gpu-fraction.b": "0.5"}, "for example gpu-fraction.a"),
        (spec(*TWO), {"gpu-fraction.a": "0.5", "gpu-memory.a": "5G"}, "container a asks for GPUs in several ways"),
        (spec(container("a", 1)), {"gpu-fraction.a": "0.5"}, "container a asks for GPUs in several ways"),
        (spec(*TWO), {"gpu-fraction.a": "0.5", "gpu-fraction-num-devices": "2"}, "its part of one GPU"),
        (spec(container("a", 1)), {"gpu-fraction": "0.5"}, "a limit of nvidia.com/gpu exclude each other"),
        (spec(*TWO), {"gpu_fraction.a": "0.5"}, "gpu_fraction.a: write it as the annotation gpu-fraction.a"),
        (spec(*TWO), {"gpu-fractions.a": "0.5"}, "write it as the annotation gpu-fraction.a"),
        (spec(*TWO), {"migctl.dev/gpu-memory.a": "5G"}, "write it as the annotation gpu-memory.a"),
        (spec(*TWO), {"nvidia.com/gpu.fraction": "0.5"}, "write it as the annotation gpu-fraction of"),
        (spec(*TWO), {"migctl.dev/gpu-containers": "gpu:a=1"}, "is admission's to write"),
        (spec(container("a", 8)), {"migctl.dev/gpu-containers": "gpu:a=0.1"}, "is admission's to write"),
        (spec(*(container(f"c{i}", 1) for i in range(9))), {}, "9 containers of this pod ask for GPUs: at most 8"),
        (
            spec(container("a", 1), container("b", 2), inits=(container("load", 3),)),
            {},
            "init container load uses the GPUs of a container that starts after it",
        ),
        (
            spec(container("a"), inits=(container("proxy", 1, **SIDECAR), container("load", 1))),
            {},
            "init container load uses the GPUs",
        ),
        (
            spec(*TWO, inits=(container("load"),)),
            {"gpu-fraction.a": "0.5", "gpu-fraction.load": "0.4"},
            "init container load uses the GPUs",
        ),
    ],
)
def test_what_no_container_can_be_given_is_refused(
    api: Operations, of: Json, annotations: dict[str, str], said: str
) -> None:
    job = {"spec": {"template": {"metadata": {"annotations": annotations}, "spec": of}}}
    with pytest.raises(Refused, match=said):
        api.create(ANA, BY_PLURAL["jobs"], "team-a", {"metadata": {"name": "j"}, **job})
    with pytest.raises(Refused, match=said):
        api.create(
            ANA, BY_PLURAL["pods"], "team-a", {"metadata": {"name": "p", "annotations": annotations}, "spec": of}
        )


def beside_two(resources: Json) -> Json:
    """A pod by itself. A Job cannot say it: Kubernetes looks for the claim in its template, where it is not yet."""
    of = spec(container("a", 1), container("b", 1), {"name": "third", "image": "x", "resources": resources})
    return {"metadata": {"name": "p"}, "spec": of}


def test_a_container_does_not_see_the_gpus_of_all_the_others(api: Operations) -> None:
    with pytest.raises(Refused, match="container third names the claim migctl-gpu whole, and would see the GPUs of ev"):
        api.create(ANA, BY_PLURAL["pods"], "team-a", beside_two({"claims": [{"name": "migctl-gpu"}]}))
    template = {"template": {"spec": beside_two({"claims": [{"name": "migctl-gpu"}]})["spec"]}}
    with pytest.raises(Refused, match="must be one of the names in"):
        api.create(ANA, BY_PLURAL["jobs"], "team-a", {"metadata": {"name": "j"}, "spec": template})


def test_a_container_may_use_the_gpus_of_another_by_name(api: Operations) -> None:
    """As a profiler beside a program does: they are counted once, for the container that asked."""
    share = {"claims": [{"name": "migctl-gpu", "request": "gpu-1"}]}
    pod = api.create(ANA, BY_PLURAL["pods"], "team-a", beside_two(share))
    assert uses(pod) == {"a": "gpu-0", "b": "gpu-1", "third": "gpu-1"}


@pytest.mark.parametrize("name", ["gpu-fraction.a", "gpu-fraction.b", "migctl.dev/gpu-containers"])
def test_what_a_container_asked_for_stays_as_it_was(api: Operations, name: str) -> None:
    pod = admitted(api, spec(*TWO), {"gpu-fraction.a": "0.5", "gpu-memory.b": "5G"})
    changed = {**pod, "metadata": {**pod["metadata"], "annotations": {**pod["metadata"]["annotations"], name: "0.9"}}}
    with pytest.raises(Refused, match=f"{name} cannot be changed after the submission"):
        api.change(ANA, BY_PLURAL["pods"], pod, changed)


def test_a_preemption_is_no_failure_of_a_job_whose_containers_ask_by_name(api: Operations) -> None:
    of = {"metadata": {"annotations": {"gpu-fraction.a": "0.5"}}, "spec": spec(*TWO)}
    job = api.create(ANA, BY_PLURAL["jobs"], "team-a", {"metadata": {"name": "j"}, "spec": {"template": of}})
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["type"] == "DisruptionTarget"


CATALOG = {"migProfiles": "1g.5gb 2g.10gb", "nodePools": "default", "largestMemoryMib": "40960"}


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"migctl.dev/mig-profile.a": "9g.99gb"}, "has a MIG profile .9g.99gb.; there are 1g.5gb, 2g.10gb"),
        ({"gpu-fraction.b": "0.002"}, "gpu-fraction.b .0.002. is too little"),
    ],
)
def test_what_no_gpu_of_the_cluster_can_give_a_container(
    api: Operations, annotations: dict[str, str], said: str
) -> None:
    catalog = {"metadata": {"name": "migctl-catalog"}, "data": CATALOG}
    api.create(ADMIN, BY_PLURAL["configmaps"], "migctl-system", catalog)
    with pytest.raises(Refused, match=said):
        admitted(api, spec(*TWO), annotations)
