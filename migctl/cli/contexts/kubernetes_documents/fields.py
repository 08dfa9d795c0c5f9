"""Every field of a Pod, Job, StatefulSet and Deployment, and its meaning where pods are processes of one machine.

READ, TEXT, TEXTS, COUNT and OneOf are read, WRITTEN is the API server's, an Idle changes nothing and is named in a
note, and an Impossible is refused: without it another thing would run. What is in no table is a mistake, and refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from migctl.backends.protocol import Invalid

Fields = Mapping[str, Any]


class Idle(str):
    """Why a field changes nothing here."""


class Impossible(str):
    """Why a field cannot be done without, and what to do."""


class OneOf(tuple[str, ...]):
    """The words that a field that is read may have."""


READ, TEXT, TEXTS, WRITTEN = "read", "read, as text", "read, as texts by name", "written by the API server"
COUNT = "read, as a number from 0"

IMAGE = Idle("recorded only: the command runs with this machine's programs")
ONE_NODE = Idle("there is one node here")
FILES = Idle("nothing is mounted: the command sees this machine's files")
PORTS = Idle("the command listens on this machine itself, and nothing forwards to it")
OWNER = Idle("it runs as a process of whoever runs migctl up")
PROBES = Idle("its process alone says how it is")
DEADLINE = Idle("nothing ends it after this time")
VARIABLES = Idle("these variables are not set: there is no ConfigMap and no Secret here")
COUNTED = Idle("its process is not kept to it")
PAUSED = Idle("it runs nonetheless; spec.replicas 0 suspends it")
TOGETHER = Idle("its pods start one by one; migctl.dev/gang-size makes them wait for each other")
NO_EFFECT = Idle("it changes nothing on one machine")
FAILURES = Idle("backoffLimit alone counts failures here")

METADATA: Fields = {
    "name": TEXT,
    "namespace": TEXT,
    "labels": TEXTS,
    "annotations": TEXTS,
    "generateName": WRITTEN,
    "finalizers": NO_EFFECT,
    "ownerReferences": NO_EFFECT,
    **dict.fromkeys(
        (
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
        ),
        WRITTEN,
    ),
}
DOCUMENT: Fields = {"apiVersion": READ, "kind": READ, "metadata": METADATA, "status": WRITTEN}
RESOURCES: Fields = {"limits": READ, "requests": READ, "claims": [{"name": TEXT, "request": TEXT}]}
SOURCES: Fields = {
    "fieldRef": {"fieldPath": TEXT, "apiVersion": TEXT},
    **dict.fromkeys(("configMapKeyRef", "secretKeyRef", "fileKeyRef", "resourceFieldRef"), READ),
}
CONTAINER: Fields = {
    "name": TEXT,
    "image": IMAGE,
    "command": READ,
    "args": READ,
    "workingDir": TEXT,
    "env": [{"name": TEXT, "value": TEXT, "valueFrom": SOURCES}],
    "resources": RESOURCES,
    "envFrom": VARIABLES,
    "ports": PORTS,
    **dict.fromkeys(("volumeMounts", "volumeDevices"), FILES),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"), PROBES),
    "securityContext": OWNER,
    **dict.fromkeys(("restartPolicy", "restartPolicyRules"), NO_EFFECT),
    **dict.fromkeys(("imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy"), NO_EFFECT),
    **dict.fromkeys(("stdin", "stdinOnce", "tty", "resizePolicy"), NO_EFFECT),
}
POD: Fields = {
    "containers": [CONTAINER],
    "initContainers": Impossible("nothing runs before the command here: make it a part of the command"),
    "ephemeralContainers": NO_EFFECT,
    "restartPolicy": OneOf(("Always", "OnFailure", "Never")),
    "priorityClassName": TEXT,
    "schedulerName": READ,
    "resourceClaims": [{"name": TEXT, "resourceClaimTemplateName": TEXT, "resourceClaimName": TEXT}],
    "activeDeadlineSeconds": DEADLINE,
    "volumes": FILES,
    "resources": COUNTED,
    "schedulingGroup": TOGETHER,
    **dict.fromkeys(("nodeSelector", "nodeName", "affinity", "tolerations", "topologySpreadConstraints"), ONE_NODE),
    **dict.fromkeys(("securityContext", "serviceAccount", "serviceAccountName", "hostUsers"), OWNER),
    **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"), OWNER),
    **dict.fromkeys(("automountServiceAccountToken", "imagePullSecrets", "runtimeClassName"), OWNER),
    **dict.fromkeys(("hostname", "hostnameOverride", "subdomain", "setHostnameAsFQDN", "hostAliases"), NO_EFFECT),
    **dict.fromkeys(("dnsConfig", "dnsPolicy", "enableServiceLinks", "os", "overhead"), NO_EFFECT),
    **dict.fromkeys(("preemptionPolicy", "priority", "readinessGates", "schedulingGates"), NO_EFFECT),
    **dict.fromkeys(("evictionResponders", "terminationGracePeriodSeconds"), NO_EFFECT),
}
TEMPLATE: Fields = {"metadata": METADATA, "spec": POD}
JOB: Fields = {
    **dict.fromkeys(("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"), COUNT),
    "completionMode": OneOf(("NonIndexed", "Indexed")),
    "suspend": READ,
    "template": TEMPLATE,
    "activeDeadlineSeconds": DEADLINE,
    "scheduling": TOGETHER,
    **dict.fromkeys(("backoffLimitPerIndex", "maxFailedIndexes", "podFailurePolicy", "successPolicy"), FAILURES),
    **dict.fromkeys(("selector", "manualSelector"), WRITTEN),
    **dict.fromkeys(("podReplacementPolicy", "managedBy"), NO_EFFECT),
}
REPLICATED: Fields = {
    "replicas": COUNT,
    "selector": READ,
    "template": TEMPLATE,
    **dict.fromkeys(("revisionHistoryLimit", "minReadySeconds"), NO_EFFECT),
}
STATEFUL_SET: Fields = {
    **REPLICATED,
    "serviceName": PORTS,
    "volumeClaimTemplates": FILES,
    "persistentVolumeClaimRetentionPolicy": FILES,
    **dict.fromkeys(("podManagementPolicy", "updateStrategy", "ordinals"), NO_EFFECT),
}
DEPLOYMENT: Fields = {
    **REPLICATED,
    "paused": PAUSED,
    **dict.fromkeys(("strategy", "progressDeadlineSeconds"), NO_EFFECT),
}
KINDS: Mapping[tuple[str, str], Fields] = MappingProxyType(
    {
        ("v1", "Pod"): POD,
        ("batch/v1", "Job"): JOB,
        ("apps/v1", "StatefulSet"): STATEFUL_SET,
        ("apps/v1", "Deployment"): DEPLOYMENT,
    }
)


def idle(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The paths that change nothing, each with the reason. Raises Invalid for what is no field, or cannot be."""
    return _checked(body, {**DOCUMENT, "spec": KINDS[body["apiVersion"], body["kind"]]}, "")


def _checked(value: Any, fields: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(fields, list):
        if value is not None:
            for number, item in enumerate(a_list(value, path)):
                yield from _checked(item, fields[0], f"{path}[{number}]")
    elif isinstance(fields, Mapping):
        for key, part in an_object(value, path).items():
            here = f"{path}.{key}".lstrip(".")
            if key not in fields:
                close = get_close_matches(str(key), list(fields), n=1, cutoff=0.75)
                hint = f"did you mean {close[0]}?" if close else ""
                raise Invalid(f"{here}: there is no such field", hint=hint, field=here)
            yield from _checked(part, fields[key], here)
    elif value in (None, "", [], {}):
        return  # nothing is said
    elif fields is COUNT:
        if isinstance(value, int) and value < 0:
            raise Invalid(f"{path}: {value}: must be 0 or more", field=path)
    elif isinstance(fields, OneOf):
        if value not in fields:
            raise Invalid(f"{path}: it must be one of {', '.join(fields)}", field=path)
    elif fields is TEXT:
        a_text(value, path)
    elif fields is TEXTS:
        for name, text in an_object(value, path).items():
            a_text(text, f"{path}.{name}")
    elif isinstance(fields, Impossible):
        raise Invalid(f"{path}: {fields}", field=path)
    elif isinstance(fields, Idle):
        yield path, str(fields)


def an_object(value: Any, path: str) -> Mapping[str, Any]:
    """The value, which must be an object. Raises Invalid."""
    if not isinstance(value, Mapping):
        raise Invalid(f"{path}: {'it is missing' if value is None else 'this is no object'}", field=path)
    return value


def a_text(value: Any, path: str) -> str:
    """The value, which must be text. Raises Invalid."""
    if not isinstance(value, str):
        hint = "write it in quotes" if isinstance(value, int | float) else ""
        raise Invalid(f"{path}: this is no text", hint=hint, field=path)
    return value


def a_list(value: Any, path: str) -> list[Any]:
    """The value, which must be a list. Raises Invalid."""
    if not isinstance(value, list):
        raise Invalid(f"{path}: this is no list", field=path)
    return value
