"""Writes the Helm chart from the manifests and overlays: `python -m deploy.chart`.

Most files are the manifests' own text, with the release's namespace instead of migctl-system. The workloads are
rendered with their overlay, and the fields that values govern are replaced by them: GOVERNED is the whole list. What
values.yaml says by default is read from the manifests, so that chart and manifests install the same.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy import crds, kustomize
from deploy.kustomize import MANIFESTS, OVERLAYS, Json

CHART = Path(__file__).parent / "chart"
NAMESPACE = "migctl-system"
KUBELET_ROOT = "/var/lib/kubelet"
KINDS = ("nvidia", "simulated")
HEADER = "# Written by `make manifests` from deploy/{source}: change that and write again.\n"

_POD = "/spec/template/spec"
_MAIN = f"{_POD}/containers/0"
_IMAGE = {
    f"{_MAIN}/image": "{{ .Values.image.repository }}:{{ .Values.image.tag }}",
    f"{_MAIN}/imagePullPolicy": "{{ .Values.image.pullPolicy }}",
    f"{_POD}/imagePullSecrets": "{{ toJson .Values.image.pullSecrets }}",
}


GOVERNED: Mapping[str, Mapping[str, str]] = {
    "Deployment": {
        **_IMAGE,
        "/spec/replicas": "{{ toJson .Values.COMPONENT.replicas }}",
        f"{_MAIN}/args/0": "--log-level={{ .Values.COMPONENT.logLevel }}",
        f"{_MAIN}/resources": "{{ toJson .Values.COMPONENT.resources }}",
        f"{_POD}/nodeSelector": "{{ toJson .Values.COMPONENT.nodeSelector }}",
        f"{_POD}/tolerations": "{{ toJson .Values.COMPONENT.tolerations }}",
    },
    "DaemonSet": {
        **_IMAGE,
        f"{_MAIN}/args/0": "--log-level={{ .Values.agent.logLevel }}",
        f"{_MAIN}/resources": "{{ toJson .Values.agent.resources }}",
        f"{_POD}/nodeSelector": "{{ toJson .Values.agent.nodeSelector }}",
        f"{_POD}/tolerations": "{{ toJson .Values.agent.KIND.tolerations }}",
        f"{_POD}/affinity": "{{ toJson .Values.agent.KIND.affinity }}",
    },
    "ConfigMap": {"/data/gpus": "{{ .Values.agent.simulated.gpus }}"},
}
"""Kind of object -> JSON pointer -> what stands there in the chart; KIND is the overlay's, COMPONENT the process's."""

API_GOVERNED: Mapping[str, Mapping[str, str]] = {
    "Deployment": {
        **GOVERNED["Deployment"],
        f"{_MAIN}/args/1": "--cluster-name={{ .Values.api.clusterName }}",
        f"{_POD}/volumes/1/secret/secretName": "{{ .Values.api.tlsSecret }}",
    },
}
"""The same for the REST API, which has more to govern."""

COMPONENTS = {"controller.yaml": ("controller", GOVERNED), "api.yaml": ("api", API_GOVERNED)}
OF_API = ("api.yaml", "rbac/api.yaml")
"""What is installed where api.enabled says so."""

_LEVELS = {"properties": {"logLevel": {"enum": ["debug", "info", "warning", "error"]}}}
SCHEMA: Json = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "controller": _LEVELS,
        "api": _LEVELS,
        "agent": {"properties": {"kind": {"enum": list(KINDS)}, **_LEVELS["properties"]}},
    },
}
"""What Helm refuses: an agent of an unknown kind would leave the cluster without agents, and without an error."""

SERVICE_MONITOR = """\
{{- if .Values.metrics.serviceMonitor }}
# For the Prometheus operator: the controllers and every agent.
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  name: migctl
  namespace: {{ .Release.Namespace }}
  labels: {{ toJson .Values.metrics.labels }}
spec:
  selector:
    matchLabels: {app.kubernetes.io/name: migctl}
  endpoints:
  - {port: health, path: /metrics}
{{- end }}
"""


def files() -> dict[Path, str]:
    """Every file of the chart and its text."""
    templates = {f"templates/{name}": text for name, text in _templates()}
    definitions = {f"crds/{path.name}": text for path, text in crds.files().items()}
    schema = json.dumps(SCHEMA, indent=2) + "\n"
    whole = {"Chart.yaml": _chart(), "values.yaml": _values(), "values.schema.json": schema, **definitions, **templates}
    return {CHART / name: text for name, text in whole.items()}


def _templates() -> Iterator[tuple[str, str]]:
    for name in yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]:
        if name == "namespace.yaml" or name.startswith("crds/"):
            continue
        text = _component(name) if name in COMPONENTS else _verbatim(MANIFESTS / name)
        text = f"{{{{- if .Values.api.enabled }}}}\n{text.rstrip()}\n{{{{- end }}}}\n" if name in OF_API else text
        yield name.replace("/", "-"), text
    known = {_key(found) for found in kustomize.render(MANIFESTS)}
    for kind in KINDS:
        objects = [found for found in kustomize.render(OVERLAYS / kind) if _key(found) not in known]
        text = _governed(objects, f"agent and deploy/overlays/{kind}").replace("agent.KIND", f"agent.{kind}")
        yield f"agent-{kind}.yaml", f'{{{{- if eq .Values.agent.kind "{kind}" }}}}\n{text}{{{{- end }}}}\n'
    yield "service-monitor.yaml", SERVICE_MONITOR


def _component(name: str) -> str:
    """A process's Deployment and what belongs to it."""
    component, governed = COMPONENTS[name]
    text = _governed(kustomize.load(MANIFESTS / name), f"manifests/{name}", governed)
    return text.replace(".Values.COMPONENT.", f".Values.{component}.")


def _key(found: Json) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]


def _verbatim(path: Path) -> str:
    text = path.read_text()
    assert "{{" not in text, f"{path}: Helm would read its braces"
    return HEADER.format(source=path.relative_to(MANIFESTS.parent)) + _of_release(text)


def _governed(objects: list[Json], source: str, governed: Mapping[str, Mapping[str, str]] = GOVERNED) -> str:
    """The objects with values in their governed fields."""
    found = copy.deepcopy(objects)
    for one in found:
        for path, expression in governed.get(one["kind"], {}).items():
            kustomize.apply(
                one, [{"op": "replace" if path[-1].isdigit() else "add", "path": path, "value": expression}]
            )
    text = yaml.safe_dump_all(found, sort_keys=False, width=1000)
    unquoted = re.sub(r"'(\{\{ toJson [^']*\}\})'", r"\1", text)
    return HEADER.format(source=source) + _of_release(unquoted)


def _of_release(text: str) -> str:
    text = text.replace(NAMESPACE, "{{ .Release.Namespace }}")
    return text.replace(KUBELET_ROOT, "{{ .Values.agent.kubeletRoot }}")


def _chart() -> str:
    return """\
# Written by `make manifests` from deploy/chart.py: change that and write again.
apiVersion: v2
name: migctl
description: Share NVIDIA GPUs by fraction, memory or MIG profile
type: application
version: 0.1.0
appVersion: 0.1.0
kubeVersion: ">=1.36.0-0"
"""


def _values() -> str:
    """The defaults, as the manifests have them."""
    found = {kind: {_key(o): o for o in kustomize.render(OVERLAYS / kind)} for kind in KINDS}
    controller = found["nvidia"]["Deployment", "migctl-controller"]
    agents = {kind: found[kind]["DaemonSet", "migctl-agent"]["spec"]["template"]["spec"] for kind in KINDS}
    main = controller["spec"]["template"]["spec"]["containers"][0]
    api = found["nvidia"]["Deployment", "migctl-api"]
    repository, tag = main["image"].split(":")
    return _VALUES.format(
        repository=repository,
        tag=tag,
        pull_policy=main["imagePullPolicy"],
        replicas=controller["spec"]["replicas"],
        controller_resources=_flow(main["resources"]),
        api_replicas=api["spec"]["replicas"],
        api_resources=_flow(api["spec"]["template"]["spec"]["containers"][0]["resources"]),
        tls_secret=api["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"],
        kubelet_root=KUBELET_ROOT,
        agent_resources=_flow(agents["nvidia"]["containers"][0]["resources"]),
        tolerations={kind: _flow(agents[kind].get("tolerations", [])) for kind in KINDS},
        affinity={kind: _block(agents[kind]["affinity"], 6) for kind in KINDS},
        gpus=found["simulated"]["ConfigMap", "migctl-simulated-gpus"]["data"]["gpus"],
    )


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).strip()


def _block(value: Any, indent: int) -> str:
    return textwrap.indent(yaml.safe_dump(value, sort_keys=False), " " * indent).rstrip()


_VALUES = """\
# Written by `make manifests` from deploy/chart.py and the manifests: change those and write again.
image:
  repository: {repository}
  tag: {tag}
  pullPolicy: {pull_policy}
  pullSecrets: []

controller:
  # One leads, the others stand by.
  replicas: {replicas}
  # debug, info, warning or error
  logLevel: info
  resources: {controller_resources}
  nodeSelector: {{}}
  tolerations: []

api:
  # The REST API: a Deployment that reads, and writes only with its callers' own tokens.
  enabled: true
  replicas: {api_replicas}
  # The cluster's name, as clients are told it.
  clusterName: cluster
  # A Secret of type kubernetes.io/tls; while there is none, the API is served without TLS.
  tlsSecret: {tls_secret}
  logLevel: info
  resources: {api_resources}
  nodeSelector: {{}}
  tolerations: []

agent:
  # nvidia: real GPUs, privileged. simulated: GPUs that are not there, for trying migctl out.
  kind: nvidia
  # The kubelet's --root-dir.
  kubeletRoot: {kubelet_root}
  logLevel: info
  resources: {agent_resources}
  # Beside the affinity of its kind.
  nodeSelector: {{}}
  nvidia:
    tolerations: {tolerations[nvidia]}
    affinity:
{affinity[nvidia]}
  simulated:
    # Of every node, as in `migctl up --simulate`.
    gpus: {gpus}
    tolerations: {tolerations[simulated]}
    affinity:
{affinity[simulated]}

metrics:
  # A ServiceMonitor, where the Prometheus operator is installed; the labels that it selects monitors by.
  serviceMonitor: false
  labels: {{}}
"""


def main(write: Callable[[Path, str], Any] = Path.write_text) -> int:
    """Write the chart."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
