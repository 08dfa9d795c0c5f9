"""What is applied to a cluster: valid for the API server, and what the processes need."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from deploy import kustomize
from deploy.kustomize import OVERLAYS, Json
from migctl.backends.kubernetes.client import pod_kinds
from migctl.backends.kubernetes.meaning import record_of, records
from migctl.cluster_api import __main__ as api
from migctl.controller import __main__ as controller
from nodeagent import __main__ as agent
from nodeagent.contract.wire import DRIVER
from tests.deploy import schema

KINDS = ("nvidia", "simulated")
PODS = ("Deployment", "DaemonSet")


def rendered(overlay: str) -> dict[tuple[str, str], Json]:
    return {(found["kind"], found["metadata"]["name"]): found for found in kustomize.render(OVERLAYS / overlay)}


def pod_of(workload: Json) -> Json:
    spec: Json = workload["spec"]["template"]["spec"]
    return spec


@pytest.fixture(params=KINDS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_object_fits_the_schema_of_its_kind(overlay: str) -> None:
    objects = kustomize.render(OVERLAYS / overlay)
    assert len(rendered(overlay)) == len(objects), "two objects of one name"
    for found in objects:
        schema.check(found, schema.model_of(found), f"{found['kind']}/{found['metadata']['name']}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "templat"), {}),
        (("spec", "template", "spec", "hostPid"), True),
        (("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "8081"),
        (("spec", "template", "spec", "containers", 0, "name"), None),
    ],
    ids=["misspelt", "misspelt deeper", "of another type", "missing"],
)
def test_what_does_not_fit_the_schema_is_found(path: tuple[Any, ...], value: Any) -> None:
    found: Any = kustomize.load(kustomize.HERE / "agent" / "daemonset.yaml")[0]
    parent = found
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    if value is None:
        del parent[path[-1]]
    with pytest.raises((AssertionError, ValueError)):
        schema.check(found, "V1DaemonSet")


def on_one_line(value: Any) -> Any:
    """Texts without their line breaks: kubectl's YAML writer adds empty lines to folded ones."""
    if isinstance(value, dict):
        return {key: on_one_line(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_one_line(item) for item in value]
    return " ".join(value.split()) if isinstance(value, str) else value


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here to compare with")
def test_kubectl_renders_the_same(overlay: str) -> None:
    command = ["kubectl", "kustomize", str(OVERLAYS / overlay)]
    environ = {**os.environ, "KUBECONFIG": "/dev/null"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    theirs = {(found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(done.stdout)}
    assert on_one_line(theirs) == on_one_line(rendered(overlay))


def test_a_patch_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="remove /spec"):
        kustomize.apply({"spec": {}}, [{"op": "remove", "path": "/spec"}])
    with pytest.raises(ValueError, match="replace /absent"):
        kustomize.apply({}, [{"op": "replace", "path": "/absent", "value": 1}])


PROCESSES: dict[str, tuple[str, Callable[[list[str]], Any]]] = {
    "migctl-agent": ("nodeagent", agent.arguments),
    "migctl-controller": ("migctl.controller", controller.arguments),
    "migctl-api": ("migctl.cluster_api", api.arguments),
}


def test_the_processes_understand_their_arguments(overlay: str) -> None:
    objects = rendered(overlay)
    values = {"SIMULATED_GPUS": "a100-40gb=2,v100=1"}
    for (_, name), workload in ((key, found) for key, found in objects.items() if key[0] in PODS):
        main = pod_of(workload)["containers"][0]
        args = main["args"]
        for variable, value in values.items():
            args = [arg.replace(f"$({variable})", value) for arg in args]
        module, parse = PROCESSES[name]
        options = parse(args)
        ports = {port["name"]: port["containerPort"] for port in main["ports"]}
        assert ports["health"] == getattr(options, "health_port", options.port)
        assert ports.get("api", options.port) == options.port
        assert main["command"] == ["python", "-m", module]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert main[probe]["httpGet"]["port"] == "health"


def test_the_api_finds_its_certificate_where_the_secret_is_mounted(overlay: str) -> None:
    spec = pod_of(rendered(overlay)["Deployment", "migctl-api"])
    (main,) = spec["containers"]
    options = api.arguments(main["args"])
    (volume,) = (one for one in spec["volumes"] if "secret" in one)
    (mount,) = (one for one in main["volumeMounts"] if one["name"] == volume["name"])
    assert mount["mountPath"] == str(options.tls_dir)
    assert volume["secret"]["optional"], "without it there is no TLS, and still an API"


def test_an_agent_sees_its_directories_where_the_host_has_them(overlay: str) -> None:
    spec = pod_of(rendered(overlay)["DaemonSet", "migctl-agent"])
    options = agent.arguments(spec["containers"][0]["args"])
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    mounted = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    kubelet: Path = options.kubelet_root
    for needed in (kubelet / "plugins" / DRIVER, kubelet / "plugins_registry", options.cdi_dir, options.state_dir):
        mount = mounted[str(needed)]
        assert paths[mount["name"]] == str(needed)
        assert not mount.get("readOnly")
    if overlay == "nvidia":
        assert paths[mounted[str(options.host_root)]["name"]] == "/"
        assert mounted[str(options.host_root)]["readOnly"]
    assert {mount["name"] for mount in mounted.values()} == {volume["name"] for volume in spec["volumes"]}


def test_the_controller_knows_an_agents_pod(overlay: str) -> None:
    template = rendered(overlay)["DaemonSet", "migctl-agent"]["spec"]["template"]
    conditions = [{"type": "Ready", "status": "True"}]
    meta = {"name": "a", "namespace": "migctl-system", "uid": "u", "resourceVersion": "1", **template["metadata"]}
    pod = {"metadata": meta, "spec": {**template["spec"], "nodeName": "n"}, "status": {"conditions": conditions}}
    record = record_of.pod(msgspec.convert(pod, pod_kinds.Pod))
    assert isinstance(record, records.NonGpuPod)
    assert record.agent


def test_pods_have_accounts_that_are_bound_to_a_role(overlay: str) -> None:
    objects = rendered(overlay)
    bound = {
        (subject["kind"], subject["name"])
        for (kind, _), found in objects.items()
        if kind.endswith("RoleBinding")
        for subject in found["subjects"]
        if (found["roleRef"]["kind"], found["roleRef"]["name"]) in objects
    }
    processes = (("Deployment", "migctl-controller"), ("Deployment", "migctl-api"), ("DaemonSet", "migctl-agent"))
    for kind, name in processes:
        account = pod_of(objects[kind, name])["serviceAccountName"]
        assert ("ServiceAccount", account) in objects
        assert ("ServiceAccount", account) in bound


def test_services_policies_and_budgets_select_pods_there_are(overlay: str) -> None:
    objects = rendered(overlay)
    pods = [found["spec"]["template"]["metadata"]["labels"] for key, found in objects.items() if key[0] in PODS]
    selectors = [found["spec"]["selector"] for key, found in objects.items() if key[0] == "Service"]
    selectors += [
        found["spec"]["podSelector"]["matchLabels"] for key, found in objects.items() if key[0] == "NetworkPolicy"
    ]
    budgets = [found for key, found in objects.items() if key[0] == "PodDisruptionBudget"]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in budgets]
    assert len(selectors) == 8
    for selector in selectors:
        assert sum(selector.items() <= labels.items() for labels in pods) == 1


def test_only_an_agent_of_real_gpus_is_privileged(overlay: str) -> None:
    for (kind, _), workload in ((key, found) for key, found in rendered(overlay).items() if key[0] in PODS):
        for container in pod_of(workload)["containers"]:
            granted = container["securityContext"]
            assert granted["readOnlyRootFilesystem"]
            if (kind, overlay) == ("DaemonSet", "nvidia"):
                assert granted["privileged"]
            else:
                assert granted["allowPrivilegeEscalation"] is False
                assert granted["capabilities"]["drop"] == ["ALL"]
    for name in ("migctl-controller", "migctl-api"):
        assert pod_of(rendered(overlay)["Deployment", name])["securityContext"]["runAsNonRoot"]
