"""Requests written in a wrong place or with a name that is almost right: refused in words, never run without a GPU."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Json, copied
from tests.fakes.kubernetes_api.users import KUBERNETES, User

ANA = User("ana")
HALF = {"gpu-fraction": "0.5"}
MEANT = {
    "gpu-fractions": "gpu-fraction",
    "gpu_fraction": "gpu-fraction",
    "gpuFraction": "gpu-fraction",
    "GPU-Fraction": "gpu-fraction",
    "migctl.dev/gpu-fraction": "gpu-fraction",
    "runai/gpu-fraction": "gpu-fraction",
    "run.ai/gpu-fraction": "gpu-fraction",
    "kai.scheduler/gpu-fraction": "gpu-fraction",
    "gpu-portion": "gpu-fraction",
    "gpu-mem": "gpu-memory",
    "gpu-memory-mib": "gpu-memory",
    "nvidia.com/gpu.memory": "gpu-memory",
    "nvidia.com/gpumem": "gpu-memory",
    "gpu-fraction-num-device": "gpu-fraction-num-devices",
    "gpu-num-devices": "gpu-fraction-num-devices",
    "gpu-fraction-container": "gpu-fraction-container-name",
    "mig-profile": "migctl.dev/mig-profile",
    "nvidia.com/mig-profile": "migctl.dev/mig-profile",
    "migctl.dev/mig-profiles": "migctl.dev/mig-profile",
    "migctl.dev/gpu-models": "migctl.dev/gpu-model",
    "nvidia.com/gpu.product": "migctl.dev/gpu-model",
    "migctl.dev/gangsize": "migctl.dev/gang-size",
    "migctl.dev/preemptable": "migctl.dev/preemptible",
    "migctl.dev/no-move": "migctl.dev/movable",
    "migctl.dev/moveable": "migctl.dev/movable",
    "migctl.dev/node-pool": "migctl.dev/node-pools",
}


def create(api: Operations, plural: str, obj: Json) -> Json:
    return api.create(ANA, BY_PLURAL[plural], "team-a", obj)


def labelled(obj: Json, **labels: str) -> Json:
    obj["metadata"].setdefault("labels", {}).update(labels)
    return obj


@pytest.mark.parametrize("wrong", MEANT)
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_a_name_that_is_almost_right_is_refused_with_the_right_one(api: Operations, wrong: str, place: str) -> None:
    pod = manifests.pod("p")
    pod["metadata"][place] = {wrong: "0.5"}
    with pytest.raises(Refused, match=f"annotation {MEANT[wrong]} of the pod"):
        create(api, "pods", pod)
    job = manifests.job("j")
    job["spec"]["template"]["metadata"][place] = {wrong: "0.5"}
    with pytest.raises(Refused, match=f"annotation {MEANT[wrong]} of the pod template"):
        create(api, "jobs", job)


@pytest.mark.parametrize("wrong", ["gang-size", "preemptible", "movable", "gpu-model", "node-pools"])
def test_words_that_others_use_too_are_refused_where_gpus_are_asked_for(api: Operations, wrong: str) -> None:
    create(api, "pods", manifests.pod("without", {wrong: "x"}))
    with pytest.raises(Refused, match=f"annotation migctl.dev/{wrong} of the pod"):
        create(api, "pods", manifests.pod("with", {wrong: "x", **HALF}))


@pytest.mark.parametrize("plural", ["jobs", "deployments", "statefulsets", "cronjobs", "daemonsets"])
@pytest.mark.parametrize("place", ["annotations", "labels"])
@pytest.mark.parametrize("name", ["gpu-fraction", "migctl.dev/mig-profile", "migctl.dev/gang-size"])
def test_a_request_on_the_workload_instead_of_its_template(api: Operations, plural: str, place: str, name: str) -> None:
    made = manifests.MAKERS[plural]("w")
    made["metadata"][place] = {name: "1"}
    with pytest.raises(Refused, match=f"itself {name}: write it as the annotation {name} of the pod template"):
        create(api, plural, made)


def test_a_request_as_a_label_of_the_pod(api: Operations) -> None:
    with pytest.raises(Refused, match="label gpu-fraction: write it as the annotation gpu-fraction of the pod"):
        create(api, "pods", labelled(manifests.pod("p"), **HALF))


def test_what_is_said_rightly_may_be_said_again_elsewhere(api: Operations) -> None:
    job = labelled(manifests.job("j", HALF), **HALF)
    job["metadata"]["annotations"] = dict(HALF)
    create(api, "jobs", job)
    with pytest.raises(Refused, match="gpu_fraction"):
        create(api, "pods", manifests.pod("two-values", {**HALF, "gpu_fraction": "0.7"}))


@pytest.mark.parametrize(
    ("place", "name"),
    [("annotations", "migctl.dev/priority"), ("labels", "migctl.dev/gpus"), ("annotations", "migctl.dev/type")],
)
def test_a_name_of_ours_that_nobody_knows(api: Operations, place: str, name: str) -> None:
    pod = manifests.pod("p")
    pod["metadata"][place] = {name: "x"}
    with pytest.raises(Refused, match="migctl does not know it"):
        create(api, "pods", pod)


@pytest.mark.parametrize(
    "keys",
    [
        {"app": "x", "user": "ana", "prometheus.io/scrape": "true"},
        {
            "node-pool": "a",
            "gpu": "yes",
            "preemptible": "no",
            "nvidia.com/cuda.driver": "5",
            "example.com/gang-size": "2",
        },
    ],
)
def test_what_is_others_is_none_of_our_business(api: Operations, keys: dict[str, str]) -> None:
    pod = manifests.pod("p", dict(keys))
    create(api, "pods", labelled(pod, **dict.fromkeys(keys, "x")))


def test_hundreds_of_names_are_no_obstacle(api: Operations) -> None:
    """What evaluating a policy may cost is bounded: a Job with 800 annotations was refused for that."""
    many = {f"team{i}.example.com/a-rather-long-name-of-an-annotation-{i}": "x" for i in range(400)}
    job = manifests.job("j", {**HALF, **many})
    job["metadata"]["annotations"] = many
    create(api, "jobs", job)
    job["metadata"] |= {"name": "wrong", "annotations": {**many, "gpu_fraction": "0.7"}}
    with pytest.raises(Refused, match="itself gpu_fraction: write it"):
        create(api, "jobs", job)


def test_a_workload_from_before_goes_on_being_updated_and_making_pods(api: Operations) -> None:
    """Its names were accepted once: its controller must be able to write it, and to make its pods."""
    old = manifests.deployment("old")
    made = api.create(KUBERNETES, BY_PLURAL["deployments"], "team-a", old)
    before = copied(made)
    before["metadata"]["labels"] = {"gpu_fraction": "0.5"}
    api.storage.put("deployments", before)
    after = copied(before)
    after["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    api.change(KUBERNETES, BY_PLURAL["deployments"], before, after)
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "old-1", "uid": "u", "controller": True}
    pod: dict[str, Any] = labelled(manifests.pod("old-1-x"), gpu_fraction="0.5")
    pod["metadata"]["ownerReferences"] = [owner]
    api.create(KUBERNETES, BY_PLURAL["pods"], "team-a", pod)


def test_a_request_added_later_to_the_workload_itself_is_refused(api: Operations) -> None:
    create(api, "deployments", manifests.deployment("serve"))
    change = {"metadata": {"annotations": HALF}}
    with pytest.raises(Refused, match="annotation of the Deployment itself gpu-fraction"):
        api.patch(ANA, BY_PLURAL["deployments"], "team-a", "serve", change, "application/merge-patch+json")
