"""The Helm chart installs what the manifests install, and its values reach what they are for."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from deploy import chart, kustomize
from deploy.kustomize import OVERLAYS, Json
from tests.deploy import helm

Objects = dict[tuple[str, str], Json]


def by_name(objects: list[Json]) -> Objects:
    return {(found["kind"], found["metadata"]["name"]): without_empties(found) for found in objects}


def without_empties(value: Any) -> Any:
    """Values that are not set leave an empty list or map behind."""
    if isinstance(value, dict):
        return {k: without_empties(v) for k, v in value.items() if v not in ([], {})}
    return [without_empties(item) for item in value] if isinstance(value, list) else value


def manifests(kind: str) -> Objects:
    """Without the namespace: Helm makes its release's own."""
    objects = kustomize.render(OVERLAYS / kind)
    return by_name([found for found in objects if found["kind"] != "Namespace"])


def test_the_files_are_those_the_code_writes() -> None:
    for path, text in chart.files().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make manifests`"
    there = {path for path in chart.CHART.rglob("*") if path.is_file()}
    assert there == set(chart.files()), "files that nothing writes"


@pytest.mark.parametrize("kind", chart.KINDS)
def test_chart_and_overlay_are_the_same_objects(kind: str) -> None:
    assert by_name(helm.template({"agent": {"kind": kind}})) == manifests(kind)


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here to compare with")
@pytest.mark.parametrize("kind", chart.KINDS)
def test_helm_renders_the_same(kind: str) -> None:
    place = ["--namespace", "migctl-system", "--include-crds", "--kube-version", "1.36.0"]
    command = ["helm", "template", "migctl", str(chart.CHART), "--set", f"agent.kind={kind}", *place]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert by_name([found for found in yaml.safe_load_all(done.stdout) if found]) == manifests(kind)


@pytest.mark.parametrize("kind", chart.KINDS)
def test_values_reach_what_they_are_for(kind: str) -> None:
    taint = {"key": "k", "operator": "Exists"}
    values: Json = {
        "image": {"repository": "registry.example/migctl", "tag": "2", "pullSecrets": [{"name": "s"}]},
        "controller": {"replicas": 3, "logLevel": "debug", "nodeSelector": {"a": "b"}, "tolerations": [taint]},
        "agent": {"kind": kind, "kubeletRoot": "/k", "logLevel": "error", "resources": {"limits": {"cpu": "1"}}},
    }
    values["agent"][kind] = {"tolerations": [taint]}
    objects = by_name(helm.template(values))
    deployment, agents = (
        objects["Deployment", "migctl-controller"]["spec"],
        objects["DaemonSet", "migctl-agent"]["spec"],
    )
    for spec, level in ((deployment["template"]["spec"], "debug"), (agents["template"]["spec"], "error")):
        main = spec["containers"][0]
        assert main["image"] == "registry.example/migctl:2"
        assert f"--log-level={level}" in main["args"]
        assert spec["imagePullSecrets"] == [{"name": "s"}]
        assert spec["tolerations"] == [taint]
    assert deployment["replicas"] == 3
    assert deployment["template"]["spec"]["nodeSelector"] == {"a": "b"}
    agent = agents["template"]["spec"]
    assert agent["containers"][0]["resources"]["limits"]["cpu"] == "1"
    assert "--kubelet-root=/k" in agent["containers"][0]["args"]
    assert "/var/lib/kubelet" not in str(agent)


def test_a_release_in_another_namespace_is_whole() -> None:
    objects = helm.template({"agent": {"kind": "simulated", "simulated": {"gpus": "v100=4"}}}, namespace="gpus")
    assert "migctl-system" not in yaml.safe_dump_all(objects)
    assert by_name(objects)["ConfigMap", "migctl-simulated-gpus"]["data"] == {"gpus": "v100=4"}


def test_prometheus_is_told_only_where_asked() -> None:
    asked = by_name(helm.template({"metrics": {"serviceMonitor": True, "labels": {"release": "prometheus"}}}))
    usual = by_name(helm.template())
    assert asked.keys() - usual.keys() == {("ServiceMonitor", "migctl")}
    monitor = asked["ServiceMonitor", "migctl"]
    assert monitor["metadata"]["labels"] == {"release": "prometheus"}
    services = [found for (kind, _), found in usual.items() if kind == "Service"]
    assert all(monitor["spec"]["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items() for s in services)
    assert {p["port"] for p in monitor["spec"]["endpoints"]} <= {
        p["name"] for s in services for p in s["spec"]["ports"]
    }


def test_the_api_is_installed_unless_it_is_switched_off() -> None:
    usual = by_name(helm.template())
    without = by_name(helm.template({"api": {"enabled": False}}))
    kinds = {kind for kind, _ in usual.keys() - without.keys()}
    assert {name for _, name in usual.keys() - without.keys()} == {"migctl-api"}
    assert kinds == {
        "Deployment",
        "Service",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    assert all(without[key] == found for key, found in usual.items() if key in without)


def test_values_of_the_api_reach_it_and_nothing_else() -> None:
    values = {"replicas": 5, "clusterName": "lab", "tlsSecret": "lab-tls", "logLevel": "debug"}
    objects = by_name(helm.template({"api": values}))
    api, usual = objects["Deployment", "migctl-api"]["spec"], by_name(helm.template())
    spec = api["template"]["spec"]
    assert api["replicas"] == 5
    assert {"--cluster-name=lab", "--log-level=debug"} <= set(spec["containers"][0]["args"])
    assert [one["secret"]["secretName"] for one in spec["volumes"] if "secret" in one] == ["lab-tls"]
    assert objects["Deployment", "migctl-controller"] == usual["Deployment", "migctl-controller"]
