"""Documents as guides and exports have them, on one machine: what each becomes, and every note that it draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kubernetes.client
import pytest
import yaml

from migctl.cli.contexts.kubernetes_documents import fields
from migctl.objects import Project, WorkloadSpec
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.files.written import JOB, POD, changed, stored

IMAGE = "recorded only: the command runs with this machine's programs"
FILES = "nothing is mounted: the command sees this machine's files"
NO_EFFECT = "it changes nothing on one machine"
COUNTED = "its process is not kept to it"
POD_0 = "spec.template.spec.containers[0]"


@dataclass(frozen=True)
class Case:
    """text: the document. fields: what its workload's spec has. notes: in the order in which they are told."""

    text: str
    fields: Mapping[str, Any]
    notes: tuple[str, ...]
    name: str = "train"
    project: str = "team-a"


CASES: dict[str, Case] = {
    "a guide's Job with a whole GPU": Case(
        """
        apiVersion: batch/v1
        kind: Job
        metadata: {name: train, namespace: team-a, labels: {user: bo}}
        spec:
          template:
            metadata: {labels: {user: bo}}
            spec:
              containers:
              - name: job1
                image: gcr.io/lab/quickstart
                resources: {limits: {nvidia.com/gpu: 1}}
              restartPolicy: Never
              schedulerName: runai-scheduler
        """,
        {"gpu_request.devices": 1, "user": "bo", "type": "training", "command": ()},
        (f"{POD_0}.image: {IMAGE}", f"{POD_0}.command: it is missing: migctl's own quickstart runs"),
    ),
    "a parameter search with everything": Case(
        """
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: train
          annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}", example.com/owner: ml}
        spec:
          parallelism: 3
          completions: 12
          completionMode: Indexed
          backoffLimit: 2
          ttlSecondsAfterFinished: 300
          activeDeadlineSeconds: 3600
          suspend: true
          podFailurePolicy: {rules: [{action: Ignore, onExitCodes: {operator: In, values: [3]}}]}
          template:
            metadata: {annotations: {gpu-memory: "2000"}}
            spec:
              restartPolicy: OnFailure
              priorityClassName: train
              nodeSelector: {gpu: a100}
              tolerations: [{operator: Exists}]
              serviceAccountName: trainer
              volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
              containers:
              - name: main
                image: pytorch/pytorch:2.4
                workingDir: /srv
                command: [python, train.py]
                args: ["--lr=$(LR)", "--index=$(JOB_COMPLETION_INDEX)", "$$(LR)", "$(OTHER)"]
                env:
                - {name: RATE, value: "0.1"}
                - {name: LR, value: "$(RATE)e-3"}
                - {name: TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}
                - name: INDEX
                  valueFrom:
                    fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
                - {name: MEMORY, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['gpu-memory']"}}}
                envFrom: [{configMapRef: {name: settings}}]
                volumeMounts: [{name: data, mountPath: /data}]
                resources: {limits: {cpu: 4, memory: 8Gi}, requests: {cpu: 1}}
        """,
        {
            "parallelism": 3,
            "completions": 12,
            "backoff_limit": 2,
            "ttl_after_finish_s": 300,
            "suspended": True,
            "directory": "/srv",
            "gpu_request.memory_mib": 2000,
            "command": ("python", "train.py", "--lr=0.1e-3", "--index=$(JOB_COMPLETION_INDEX)", "$(LR)", "$(OTHER)"),
            "environment": {"RATE": "0.1", "LR": "0.1e-3", "MEMORY": "2000"},
        },
        (
            "spec.activeDeadlineSeconds: nothing ends it after this time",
            "spec.podFailurePolicy: backoffLimit alone counts failures here",
            "spec.template.spec.nodeSelector, spec.template.spec.tolerations: there is one node here",
            "spec.template.spec.serviceAccountName: it runs as a process of whoever runs migctl up",
            f"{POD_0}.volumeMounts, spec.template.spec.volumes: {FILES}",
            f"{POD_0}.image: {IMAGE}",
            f"{POD_0}.envFrom: these variables are not set: there is no ConfigMap and no Secret here",
            "metadata.annotations.example.com/owner: one machine keeps labels, and no annotations",
            f"{POD_0}.resources.limits.cpu, {POD_0}.resources.limits.memory, {POD_0}.resources.requests.cpu: {COUNTED}",
            f"{POD_0}.env[2].valueFrom: TOKEN is not set: there is no Secret here",
            f"{POD_0}.env[3].valueFrom: INDEX is not set: the process finds it in JOB_COMPLETION_INDEX",
            f"{POD_0}.args[1]: $(JOB_COMPLETION_INDEX) stays as it is: only a shell finds the value, in "
            "$JOB_COMPLETION_INDEX",
        ),
    ),
    "a StatefulSet with a fraction, in a namespace of the product left behind": Case(
        """
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: notebook, namespace: runai-team-b}
        spec:
          serviceName: notebook
          replicas: 1
          selector: {matchLabels: {app: notebook}}
          template:
            metadata: {labels: {app: notebook}, annotations: {gpu-fraction: "0.5"}}
            spec:
              schedulerName: runai-scheduler
              containers:
              - name: notebook
                image: jupyter
                command: [sleep, infinity]
                ports: [{containerPort: 8888}]
          volumeClaimTemplates: [{metadata: {name: home}}]
        """,
        {"gpu_request.fraction": 0.5, "type": "workspace", "preemptible": False, "command": ("sleep", "infinity")},
        (
            f"spec.serviceName, {POD_0}.ports: the command listens on this machine itself, and nothing forwards to it",
            f"{POD_0}.image: {IMAGE}",
            f"spec.volumeClaimTemplates: {FILES}",
        ),
        name="notebook",
        project="team-b",
    ),
    "a Deployment whose queue names the project": Case(
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: serve, namespace: default, labels: {kai.scheduler/queue: team-b}}
        spec:
          replicas: 2
          selector: {matchLabels: {app: serve}}
          strategy: {type: Recreate}
          template:
            metadata: {labels: {app: serve}, annotations: {gpu-fraction: "0.25", gpu-fraction-container-name: server}}
            spec:
              priorityClassName: build
              securityContext: {runAsUser: 1000}
              containers:
              - name: server
                image: vllm
                args: [vllm, serve]
                readinessProbe: {httpGet: {path: /, port: 80}}
        """,
        {"gpu_request.fraction": 0.25, "type": "inference", "parallelism": 2, "command": ("vllm", "serve")},
        (
            "spec.strategy: it changes nothing on one machine",
            "spec.template.spec.securityContext: it runs as a process of whoever runs migctl up",
            f"{POD_0}.image: {IMAGE}",
            f"{POD_0}.readinessProbe: its process alone says how it is",
            f"{POD_0}.args: they are the whole command: the image's own program is not on this machine",
            "metadata.namespace: the label of its queue names the project, team-b",
            "spec.template.spec.priorityClassName: it may not be preempted; type inference has priority 125",
        ),
        name="serve",
        project="team-b",
    ),
    "an exported Pod with an instance by its resource": Case(
        """
        apiVersion: v1
        kind: Pod
        metadata:
          name: mig
          uid: 0b7e
          resourceVersion: "41"
          creationTimestamp: "2026-01-01T00:00:00Z"
          managedFields: [{manager: kubectl}]
          generation: 1
        spec:
          nodeName: node-7
          dnsPolicy: ClusterFirst
          securityContext: {}
          restartPolicy: Never
          containers:
          - name: main
            image: busybox
            command: [nvidia-smi, -L]
            env: [{name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
            resources:
              limits: {nvidia.com/mig-1g.5gb: 2}
              requests: {nvidia.com/mig-1g.5gb: "2"}
        status: {phase: Running}
        """,
        {
            "gpu_request.profile": "1g.5gb",
            "gpu_request.devices": 2,
            "type": "training",
            "backoff_limit": 0,
            "environment": {"ME": "mig"},
        },
        (
            "spec.nodeName: there is one node here",
            f"spec.dnsPolicy: {NO_EFFECT}",
            f"spec.containers[0].image: {IMAGE}",
        ),
        name="mig",
    ),
    "memory by the annotation of a container": Case(
        """
        apiVersion: v1
        kind: Pod
        metadata:
          name: annotated
          annotations:
            nvidia.com/container.main.gpu-memory.request: 5Gi
            nvidia.com/container.main.gpu-memory.limit: 8Gi
            nvidia.com/container.main.gpu-compute.mode: time-slicing
        spec: {containers: [{name: main, command: [sleep, "1"]}]}
        """,
        {"gpu_request.memory_mib": 5120},
        (
            "metadata.annotations.nvidia.com/container.main.gpu-memory.limit: "
            "it gets what it requests, and does not grow",
            "metadata.annotations.nvidia.com/container.main.gpu-compute.mode: "
            "processes of one GPU take turns as the driver has it",
        ),
        name="annotated",
    ),
    "a fraction of a container by its name": Case(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: named, annotations: {gpu-fraction.main: "0.5"}}
        spec: {containers: [{name: main, command: [sleep, "1"]}], priorityClassName: high}
        """,
        {"gpu_request.fraction": 0.5},
        ("spec.priorityClassName: there is no class high here; type workspace has priority 100",),
        name="named",
    ),
}


def told(err: str) -> Iterator[str]:
    """The notes of the first document."""
    for line in err.splitlines():
        assert line.startswith("note: ")
        yield line.partition("): ")[2]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_document_becomes_a_workload_and_what_it_cannot_be_is_told(machine: Cli, write: Any, case: Case) -> None:
    result = machine.ok("apply", "-f", write(case.text), "-p", case.project)
    assert tuple(told(result.err)) == case.notes
    spec = stored(machine, case.name, case.project).spec
    assert {path: _at(spec, path) for path in case.fields} == dict(case.fields)
    assert machine.ok("apply", "-f", write(case.text), "-p", case.project).out == f"workload/{case.name} unchanged\n"
    assert machine.ok("diff", "-f", write(case.text), "-p", case.project).out == ""
    assert machine.ok("delete", "-f", write(case.text), "-p", case.project).err == ""


def _at(spec: WorkloadSpec, path: str) -> Any:
    found: Any = spec
    for part in path.split("."):
        found = getattr(found, part)
    return found


TEMPLATE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "two"},
    "spec": {
        "spec": {
            "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.migctl.dev", "count": 2}}]}
        }
    },
}
CLAIMING = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "two"}],
        "containers": [{"name": "main", "command": ["true"], "resources": {"claims": [{"name": "gpu"}]}}],
    },
}


def test_a_claim_of_our_class_asks_for_whole_gpus(machine: Cli, write: Any) -> None:
    result = machine.ok("apply", "-f", write(f"{yaml.safe_dump(CLAIMING)}---\n{yaml.safe_dump(TEMPLATE)}"))
    assert result.out == "workload/p created\n"
    assert list(told(result.err)) == ["it is left out: it is read where a pod names it"]
    assert stored(machine, "p").spec.gpu_request.devices == 2


def test_an_annotation_says_what_a_claim_of_our_class_is_for(machine: Cli, write: Any) -> None:
    half = changed(CLAIMING, "metadata", "annotations", value={"gpu-fraction": "0.5"})
    machine.ok("apply", "-f", write(half))
    assert stored(machine, "p").spec.gpu_request.fraction == 0.5


def test_what_goes_with_a_workload_is_left_out_with_a_note(machine: Cli, write: Any) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    elsewhere = changed(service, "metadata", "namespace", value="other")
    file = write("---\n".join(map(yaml.safe_dump, (namespace, service, POD, elsewhere))))
    result = machine.ok("apply", "-f", file)
    assert result.out == "workload/p created\n"
    assert list(told(result.err))[:2] == [
        "it is left out: a project takes its place: migctl project create NAME --quota N",
        "it is left out: the command listens on this machine itself: no Service is made",
    ]
    assert machine.ok("delete", "-f", file).out == "workload/p deleted\n"
    alone = machine("apply", "-f", write(service))
    assert (alone.code, "error: nothing of it is made here" in alone.err) == (2, True)


def test_who_applies_it_is_its_user_where_no_label_says(machine: Cli, write: Any) -> None:
    machine.ok("apply", "-f", write(POD))
    assert stored(machine, "p").spec.user == "ada"


def test_a_namespace_of_that_name_goes_before_the_project_in_it(machine: Cli, write: Any) -> None:
    machine.ok("project", "create", "runai-team-b", "--quota", "1")
    machine.ok("apply", "-f", write(changed(JOB, "metadata", "namespace", value="runai-team-b")))
    assert stored(machine, "train", "runai-team-b")
    assert machine.do(lambda cluster: cluster.get(Project, "team-b"))


def container(**others: Any) -> dict[str, Any]:
    return changed(POD, "spec", "containers", value=[{"name": "main", "command": ["true"], **others}])


def unasked(**limits: Any) -> dict[str, Any]:
    made = container(resources={"limits": limits})
    return changed(made, "metadata", "annotations", value={})


REFUSED: dict[str, tuple[Any, str]] = {
    "an init container": (
        changed(POD, "spec", "initContainers", value=[{"name": "fetch"}]),
        "spec.initContainers: nothing runs before the command here",
    ),
    "no command": (
        changed(POD, "spec", "containers", value=[{"name": "main", "image": "vllm/vllm-openai"}]),
        "spec.containers[0].command: the image's own program is not on this machine\nhint: say the whole command",
    ),
    "flags for a program of the image": (
        changed(POD, "spec", "containers", value=[{"name": "main", "image": "vllm", "args": ["--model", "x"]}]),
        "spec.containers[0].command: the image's own program is not on this machine",
    ),
    "another container's part": (
        changed(POD, "metadata", "annotations", "gpu-fraction-container-name", value="other"),
        "gpu-fraction-container-name: there is no container 'other'",
    ),
    "a fraction twice": (
        changed(POD, "metadata", "annotations", "gpu-fraction.main", value="0.5"),
        "gpu-fraction and gpu-fraction.main exclude each other",
    ),
    "a limit beside a fraction": (
        container(resources={"limits": {"nvidia.com/gpu": 1}}),
        "gpu-fraction and a limit of nvidia.com/gpu exclude each other",
    ),
    "a fraction as a limit": (unasked(**{"nvidia.com/gpu": 0.5}), "limits.nvidia.com/gpu: '0.5' is no number of GPUs"),
    "no GPU as a limit": (unasked(**{"nvidia.com/gpu": 0}), "'0' is no number of GPUs"),
    "yes as a limit": (unasked(**{"nvidia.com/gpu": True}), "'True' is no number of GPUs"),
    "another maker's": (unasked(**{"amd.com/gpu": 1}), "limits.amd.com/gpu: this machine has no such resource"),
    "a request without a limit": (
        container(resources={"requests": {"nvidia.com/gpu": 1}}),
        "resources.requests.nvidia.com/gpu: it must be a limit, and the same",
    ),
    "two kinds of instances": (
        unasked(**{"nvidia.com/mig-1g.5gb": 1, "nvidia.com/mig-2g.10gb": 1}),
        "exclude each other",
    ),
    "an instance that no GPU has": (
        unasked(**{"nvidia.com/mig-9g.5gb": 1}),
        "no GPU of this cluster has a MIG profile",
    ),
    "limits that are a list": (container(resources={"limits": []}), "resources.limits: this is no object"),
    "a claim of an unknown template": (CLAIMING, "its template two is in none of the documents"),
    "a claim of another class": (
        f"{yaml.safe_dump(CLAIMING)}---\n" + yaml.safe_dump(TEMPLATE).replace("gpu.migctl.dev", "gpu.nvidia.com"),
        "class gpu.nvidia.com is not of this machine",
    ),
    "fewer tries than none": (
        changed(JOB, "spec", "backoffLimit", value=-1),
        "spec.backoffLimit: -1: must be 0 or more",
    ),
    "no pods at all": (changed(JOB, "spec", "parallelism", value=0), "spec.parallelism: 0: must be between 1 and"),
    "a mode of nobody": (
        changed(JOB, "spec", "completionMode", value="Some"),
        "spec.completionMode: it must be one of NonIndexed, Indexed",
    ),
    "a policy that is a list": (
        changed(POD, "spec", "restartPolicy", value=["Never"]),
        "spec.restartPolicy: it must be one of Always, OnFailure, Never",
    ),
    "a variable without a name": (container(env=[{"value": "1"}]), "env[0].name: a variable needs a name"),
    "a number as a variable": (
        container(env=[{"name": "A", "value": 1}]),
        "value: this is no text\nhint: write it in quotes",
    ),
    "a number in the command": (container(command=["sleep", 1]), "Expected `str`, got `int`"),
    "metadata of nobody": (changed(POD, "metadata", "anotations", value={}), "metadata.anotations: there is no such"),
    "a made-up name": (
        changed(
            changed(POD, "metadata", value={"generateName": "p-"}),
            "metadata",
            "annotations",
            value={"gpu-fraction": "0.5"},
        ),
        "metadata.name: an object needs a name",
    ),
    "what admission writes": (
        changed(POD, "metadata", "annotations", "migctl.dev/gpu-devices", value="1"),
        "it is written by migctl on a cluster",
    ),
    "a list for an object": (changed(POD, "spec", "containers", value=["x"]), "spec.containers[0]: this is no object"),
}


@pytest.mark.parametrize(("document", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_with_the_reason(machine: Cli, write: Any, document: Any, said: str) -> None:
    result = machine("apply", "-f", write(document))
    assert result.code == 2, result
    assert said in result.err
    assert machine.ok("list", "-A", "-o", "name").out == ""


@pytest.mark.parametrize(
    ("made", "known"),
    [
        ("V1PodSpec", fields.POD),
        ("V1Container", fields.CONTAINER),
        ("V1JobSpec", fields.JOB),
        ("V1StatefulSetSpec", fields.STATEFUL_SET),
        ("V1DeploymentSpec", fields.DEPLOYMENT),
        ("V1ObjectMeta", fields.METADATA),
        ("V1ResourceRequirements", fields.RESOURCES),
        ("V1PodTemplateSpec", fields.TEMPLATE),
    ],
)
def test_every_field_of_kubernetes_is_known(made: str, known: Mapping[str, Any]) -> None:
    assert set(getattr(kubernetes.client, made).attribute_map.values()) == set(known)
