"""What counts in fairness is fixed when a pod is made, and a claim of GPUs is nobody's to take away."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import manifests
from tests.fakes.kubernetes_api.errors import Refused
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.operations import Operations
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN, KUBERNETES, User

ANA = User("ana")
CONTROLLER = User("system:serviceaccount:migctl-system:migctl-controller")
MANAGER = User("system:kube-controller-manager")
"""All of its controllers, on a cluster that gives them no accounts of their own."""
KUBELET = User("system:node:node-a", groups=("system:nodes", "system:authenticated"))
MERGE = "application/merge-patch+json"
HALF = {"gpu-fraction": "0.5"}
COUNTED = {
    "gpu-fraction": "0.1",
    "gpu-memory": "5G",
    "gpu-fraction-num-devices": "2",
    "gpu-fraction-container-name": "main",
    "migctl.dev/mig-profile": "1g.5gb",
    "migctl.dev/gpu-model": "V100",
    "migctl.dev/gpu-devices": "4",
    "migctl.dev/node-pools": "fast",
    "migctl.dev/preemptible": "false",
    "migctl.dev/movable": "false",
    "migctl.dev/gang-size": "1",
    "migctl.dev/gang-topology": "zone",
    "migctl.dev/gang-members": "9",
    "migctl.dev/made-by": "Job/other/u",
}
LABELS = ["migctl.dev/type", "migctl.dev/workload", "pod-template-hash", "batch.kubernetes.io/job-completion-index"]


def patch(api: Operations, user: User, plural: str, name: str, metadata: Json) -> Json:
    return api.patch(user, BY_PLURAL[plural], "team-a", name, {"metadata": metadata}, MERGE)


@pytest.fixture
def pod(api: Operations) -> Json:
    """A pod with a part of a GPU, of a Job."""
    made = manifests.pod("p", HALF)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "u1", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    return api.create(KUBERNETES, BY_PLURAL["pods"], "team-a", made)


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("user", [ANA, ADMIN, CONTROLLER], ids=lambda user: user.name)
def test_an_annotation_that_counts_cannot_be_changed(api: Operations, pod: Json, name: str, user: User) -> None:
    """Over-quota work became unreclaimable by annotating a running pod with preemptible=false."""
    with pytest.raises(Refused, match=f"{name} cannot be changed after the submission"):
        patch(api, user, "pods", "p", {"annotations": {name: COUNTED[name]}})


@pytest.mark.parametrize("name", LABELS)
def test_a_label_that_counts_cannot_be_changed(api: Operations, pod: Json, name: str) -> None:
    with pytest.raises(Refused, match=f"label {name} of a pod with GPUs cannot be changed"):
        patch(api, ANA, "pods", "p", {"labels": {name: "workspace"}})
    for number, controllers in enumerate((KUBERNETES, MANAGER)):
        patch(api, controllers, "pods", "p", {"labels": {name: f"workspace-{number}"}})


def test_other_labels_and_annotations_and_pods_without_gpus_are_free(api: Operations, pod: Json) -> None:
    patch(api, ANA, "pods", "p", {"labels": {"app": "x"}, "annotations": {"note": "y"}})
    api.create(ANA, BY_PLURAL["pods"], "team-a", manifests.pod("plain"))
    patch(api, ANA, "pods", "plain", {"labels": {"migctl.dev/type": "workspace", "pod-template-hash": "h"}})


def test_what_made_a_pod_is_noted_when_it_is_made_and_cannot_be_forged(api: Operations, pod: Json) -> None:
    (owner,) = pod["metadata"]["ownerReferences"]
    assert pod["metadata"]["annotations"]["migctl.dev/made-by"] == f"Job/train/{owner['uid']}"
    alone = manifests.pod("alone", {"migctl.dev/made-by": "Job/x/u", **HALF})
    made = api.create(ANA, BY_PLURAL["pods"], "team-a", alone)
    assert made["metadata"]["annotations"]["migctl.dev/made-by"] == ""


def test_a_pod_that_brings_its_claim_names_no_other_maker(api: Operations) -> None:
    """The mutating policy leaves such a pod alone, so that it ran as part of whichever workload it named."""
    bringing: Json = {"resourceClaims": [{"name": "migctl-gpu", "resourceClaimTemplateName": "migctl-gpu"}]}
    forged = {"migctl.dev/made-by": "Job/other/u", "migctl.dev/gpu-devices": "1"}
    with pytest.raises(Refused, match=r"migctl.dev/made-by: admission writes what made the pod"):
        api.create(ANA, BY_PLURAL["pods"], "team-a", manifests.pod("forged", forged, **bringing))
    api.create(ANA, BY_PLURAL["pods"], "team-a", manifests.pod("plain", **bringing))
    api.create(ANA, BY_PLURAL["pods"], "team-a", manifests.pod("noted", {"migctl.dev/made-by": ""}, **bringing))


def claim(api: Operations, device_class: str = "gpu.migctl.dev", *owners: Json) -> Json:
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class}}
    metadata = {
        "name": "c",
        "finalizers": ["resource.kubernetes.io/delete-protection"],
        "ownerReferences": list(owners),
    }
    body = {
        "metadata": metadata,
        "spec": {"devices": {"requests": [request]}},
    }
    return api.create(KUBERNETES, BY_PLURAL["resourceclaims"], "team-a", body)


POD = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}


@pytest.mark.parametrize(
    ("metadata", "user"),
    [({"finalizers": []}, ANA), ({"finalizers": None}, ANA), ({"ownerReferences": None}, ANA)],
    ids=["finalizer", "finalizers", "owner"],
)
def test_a_user_takes_nothing_off_a_pods_claim(api: Operations, metadata: Json, user: User) -> None:
    """The claim could be deleted then, and the pod went on with its GPU and counted to nobody."""
    claim(api, "gpu.migctl.dev", POD)
    with pytest.raises(Refused, match="claim of pod p are Kubernetes' and migctl's to change"):
        patch(api, user, "resourceclaims", "c", metadata)
    patch(api, user, "resourceclaims", "c", {"labels": {"mine": "yes"}})


@pytest.mark.parametrize("user", [KUBERNETES, MANAGER, CONTROLLER, KUBELET, ADMIN], ids=lambda user: user.name)
def test_kubernetes_and_migctl_may(api: Operations, user: User) -> None:
    claim(api, "gpu.migctl.dev", POD)
    patch(api, user, "resourceclaims", "c", {"finalizers": []})
    api.delete(BY_PLURAL["resourceclaims"], "team-a", "c", user=user)


def test_a_user_deletes_no_claim_of_a_pod(api: Operations) -> None:
    claim(api, "gpu.migctl.dev", POD)
    with pytest.raises(Refused, match="given back when it ends: kubectl delete pod p"):
        api.delete(BY_PLURAL["resourceclaims"], "team-a", "c", user=ANA)


@pytest.mark.parametrize(("device_class", "owners"), [("other.example.com", [POD]), ("gpu.migctl.dev", [])])
def test_claims_of_others_are_theirs(api: Operations, device_class: str, owners: list[Any]) -> None:
    claim(api, device_class, *owners)
    patch(api, ANA, "resourceclaims", "c", {"finalizers": []})
    api.delete(BY_PLURAL["resourceclaims"], "team-a", "c", user=ANA)
