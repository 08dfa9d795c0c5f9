"""What is asked for in a form that nobody can read, or that can never start: refused in words."""

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
HALF = {"gpu-fraction": "0.5"}


def create(api: Operations, plural: str, obj: Json) -> Json:
    return api.create(ANA, BY_PLURAL[plural], "team-a", obj)


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"gpu-fraction": "1"}, "not a part of a GPU"),
        ({"gpu-fraction": "0,5"}, "not a part of a GPU"),
        ({"gpu-fraction": "50%"}, "not a part of a GPU"),
        ({"gpu-fraction": "-0.5"}, "not a part of a GPU"),
        ({"gpu-fraction": ""}, "not a part of a GPU"),
        ({"gpu-memory": "2000mb"}, "units are"),
        ({"gpu-memory": "8 Gi"}, "units are"),
        ({"gpu-memory": "8GiBs"}, "units are"),
        ({"gpu-memory": "lots"}, "units are"),
        ({"gpu-memory": "9" * 400}, "is not an amount of memory"),
        ({"gpu-memory": "9" * 400 + "G"}, "is not an amount of memory"),
        ({"gpu-fraction": "9" * 400}, "not a part of a GPU"),
        ({"gpu-fraction": "0." + "5" * 400}, None),
        ({"gpu-memory": "4k"}, "at least 100 MB"),
        ({"gpu-memory": "99"}, None),
        ({"gpu-memory": "95"}, "at least 100 MB"),
        ({"migctl.dev/mig-profile": "1g5gb"}, "no MIG profile"),
        ({"gpu-fraction-num-devices": "2"}, "is missing"),
        ({"migctl.dev/gpu-model": "V100"}, "is missing"),
        ({"migctl.dev/gpu-model": "", **HALF}, "no model of GPUs"),
        ({"migctl.dev/gpu-model": "V100 A100", **HALF}, "no model of GPUs"),
        ({"migctl.dev/gpu-model": "v100", **HALF}, None),
        ({"gpu-fraction-num-devices": "0", **HALF}, "from 1 to 32"),
        ({"gpu-fraction-num-devices": "two", **HALF}, "from 1 to 32"),
        ({"gpu-fraction-container-name": "main"}, "is missing"),
        ({"gpu-fraction-container-name": "side", **HALF}, "it has main"),
        ({"migctl.dev/preemptible": "yes", **HALF}, "must be .true. or .false."),
        ({"migctl.dev/preemptible": "True", **HALF}, "must be .true. or .false."),
        ({"migctl.dev/preemptible": "", **HALF}, "must be .true. or .false."),
        ({"migctl.dev/movable": "no", **HALF}, "must be .true. or .false."),
        ({"migctl.dev/movable": "", **HALF}, "must be .true. or .false."),
        ({"migctl.dev/movable": "false", **HALF}, None),
        ({"migctl.dev/gang-size": "two", **HALF}, "must be a whole number, 1 or more"),
        ({"migctl.dev/gang-size": "0", **HALF}, "must be a whole number, 1 or more"),
        ({"migctl.dev/gang-size": "-1", **HALF}, "must be a whole number, 1 or more"),
        ({"migctl.dev/gang-size": "1.5", **HALF}, "must be a whole number, 1 or more"),
        ({"migctl.dev/gang-size": "", **HALF}, "must be a whole number, 1 or more"),
        ({"migctl.dev/gang-topology": "zone", **HALF}, "migctl.dev/gang-size is missing"),
        ({"migctl.dev/node-pools": "", **HALF}, "names of node pools"),
        ({"migctl.dev/node-pools": "Fast;slow", **HALF}, "names of node pools"),
        ({"migctl.dev/node-pools": "fast, default", "migctl.dev/preemptible": "false", **HALF}, None),
    ],
    ids=str,
)
def test_a_value_is_read_or_refused_in_words(api: Operations, annotations: dict[str, str], said: str | None) -> None:
    if said is None:
        create(api, "jobs", manifests.job("j", annotations))
        create(api, "pods", manifests.pod("p", annotations))
        return
    with pytest.raises(Refused, match=said):
        create(api, "jobs", manifests.job("j", annotations))
    with pytest.raises(Refused, match=said):
        create(api, "pods", manifests.pod("p", annotations))


@pytest.mark.parametrize("amount", ["1.5", "500m", "1.0", "2k", 1])
def test_whole_gpus_are_counted_in_whole_numbers(api: Operations, amount: str | int) -> None:
    """Half a GPU as a limit was refused with the text of our expression, in place of Kubernetes' own words."""
    pod = manifests.pod("p", gpus=amount)
    if amount in ("1.5", "500m"):
        with pytest.raises(Refused, match="must be an integer"):
            create(api, "pods", pod)
        return
    asked = create(api, "pods", pod)["metadata"]["annotations"]["migctl.dev/gpu-devices"]
    assert asked == ("2000" if amount == "2k" else "1")


def test_a_type_that_is_none(api: Operations) -> None:
    pod = manifests.pod("p", HALF)
    pod["metadata"]["labels"] = {"migctl.dev/type": "interactive"}
    with pytest.raises(Refused, match="must be training, distributed, workspace or inference"):
        create(api, "pods", pod)


def gang(size: int) -> dict[str, str]:
    return {"migctl.dev/gang-size": str(size), **HALF}


@pytest.mark.parametrize(
    ("plural", "size", "spec", "said"),
    [
        ("statefulsets", 2, {"replicas": 2}, "podManagementPolicy: Parallel"),
        ("statefulsets", 2, {"replicas": 2, "podManagementPolicy": "OrderedReady"}, "podManagementPolicy: Parallel"),
        ("statefulsets", 2, {"replicas": 2, "podManagementPolicy": "Parallel"}, None),
        ("statefulsets", 1, {"replicas": 2}, None),
        ("statefulsets", 3, {"replicas": 2, "podManagementPolicy": "Parallel"}, "more than 2 pods"),
        ("deployments", 2, {"replicas": 1}, "more than 1 pods"),
        ("deployments", 2, {"replicas": 0}, None),
        ("jobs", 3, {"parallelism": 2, "completions": 6}, "more than 2 pods"),
        ("jobs", 3, {"parallelism": 4, "completions": 2}, "more than 2 pods"),
        ("jobs", 3, {}, "more than 1 pods"),
        ("jobs", 3, {"parallelism": 3}, None),
    ],
)
def test_a_gang_that_can_never_be_complete(
    api: Operations, plural: str, size: int, spec: dict[str, Any], said: str | None
) -> None:
    obj = manifests.MAKERS[plural]("w", gang(size))
    obj["spec"] |= spec
    if said is None:
        create(api, plural, obj)
        return
    with pytest.raises(Refused, match=said):
        create(api, plural, obj)


def test_a_gang_of_a_pod_that_nothing_makes(api: Operations) -> None:
    with pytest.raises(Refused, match="nothing makes the other members"):
        create(api, "pods", manifests.pod("alone", gang(2)))
    made = manifests.pod("member", gang(2))
    owner = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "name": "j", "uid": "u", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    api.create(KUBERNETES, BY_PLURAL["pods"], "team-a", made)


CATALOG = {
    "gpuModels": "A100-40GB V100",
    "migProfiles": "1g.5gb 2g.10gb",
    "nodePools": "default fast",
    "largestMemoryMib": "40960",
}


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({"migctl.dev/mig-profile": "9g.99gb"}, "there are 1g.5gb, 2g.10gb"),
        ({"migctl.dev/mig-profile": "2g.10gb"}, None),
        ({"migctl.dev/gpu-model": "H100", **HALF}, "there are A100-40GB, V100"),
        ({"migctl.dev/gpu-model": "a100-40gb", **HALF}, None),
        ({"migctl.dev/node-pools": "fast,nosuch", **HALF}, "there is no node pool nosuch; there are default, fast"),
        ({"migctl.dev/node-pools": "fast default", **HALF}, None),
        ({"gpu-fraction": "0.002"}, "less than 100 MB"),
        ({"gpu-fraction": "0.00001"}, "less than 100 MB"),
        ({"gpu-fraction": "0.003"}, None),
    ],
)
def test_what_no_gpu_of_the_cluster_can_serve(api: Operations, annotations: dict[str, str], said: str | None) -> None:
    create(api, "pods", manifests.pod("before-any-node", annotations))
    catalog = {"metadata": {"name": "migctl-catalog"}, "data": CATALOG}
    api.create(ADMIN, BY_PLURAL["configmaps"], "migctl-system", catalog)
    if said is None:
        create(api, "pods", manifests.pod("p", annotations))
        return
    with pytest.raises(Refused, match=said):
        create(api, "pods", manifests.pod("p", annotations))
