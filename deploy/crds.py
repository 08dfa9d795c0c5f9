"""Writes the CustomResourceDefinitions from the objects the code stores: `python -m deploy.crds`.

The schema of a field is its Python type, so the two cannot drift apart. Added here is what a type cannot
say: texts for `kubectl explain`, columns for `kubectl get`, rules between fields (CEL) and conditions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as types
import yaml

from deploy import texts
from migctl.objects import Department, GpuNode, NodePool, Object, PlacementPlan, Project
from nodeagent.contract.wire import API_GROUP, API_VERSION, camel_case

FOLDER = Path(__file__).parent / "manifests" / "crds"

Schema = dict[str, Any]


@dataclass(frozen=True)
class PrinterColumn:
    """A column of `kubectl get`; priority 1 shows with -o wide only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class Definition:
    """One custom resource. `rules` are (CEL, message) by dotted field path, "" for the object."""

    kind: type[Any]
    plural: str
    short: tuple[str, ...]
    columns: tuple[PrinterColumn, ...]
    rules: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    status: Schema | None = None


AGE = PrinterColumn("Age", ".metadata.creationTimestamp", "date")
READY = '.status.conditions[?(@.type=="Ready")].status'
QUEUE = (
    PrinterColumn("Quota", ".spec.quota", "number"),
    PrinterColumn("Allocated", ".status.allocated", "number"),
    PrinterColumn("Requested", ".status.requested", "number"),
    PrinterColumn("Fair Share", ".status.fairShare", "number"),
)
"""What a project and a department show alike."""

PROJECT = Definition(
    kind=Project,
    plural="projects",
    short=("gproj",),
    columns=(
        *QUEUE,
        PrinterColumn("Department", ".spec.department", priority=1),
        PrinterColumn("Ready", READY),
        AGE,
    ),
    rules={
        "": (
            (
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
                "a project's name becomes a namespace's: lower-case letters, digits and '-', at most 63",
            ),
            (
                "self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-')",
                "'default' and names that begin with 'kube-' belong to Kubernetes",
            ),
        ),
        "spec": (
            ("self.quota >= 0.0 || self.quota == -1.0", "quota is 0 or more GPUs, or -1: unlimited"),
            ("self.limit >= 0.0 || self.limit == -1.0", "limit is 0 or more GPUs, or -1: unlimited"),
            ("self.limit < 0.0 || self.quota <= self.limit", "quota must not be above limit"),
            ("self.overQuotaWeight >= 0.0", "overQuotaWeight is 0 or more"),
            ("self.minRuntimeS >= 0.0", "minRuntimeS is 0 or more seconds"),
        ),
    },
)

DEPARTMENT = Definition(
    kind=Department,
    plural="departments",
    short=("gdep",),
    columns=(
        *QUEUE,
        AGE,
    ),
    rules={
        "spec": (
            (
                "!has(self.quota) || self.quota >= 0.0 || self.quota == -1.0",
                "quota is 0 or more GPUs, or -1: unlimited",
            ),
            ("self.limit >= 0.0 || self.limit == -1.0", "limit is 0 or more GPUs, or -1: unlimited"),
            ("self.limit < 0.0 || !has(self.quota) || self.quota <= self.limit", "quota must not be above limit"),
            ("self.overQuotaWeight >= 0.0", "overQuotaWeight is 0 or more"),
        ),
    },
)

GPU_NODE = Definition(
    kind=GpuNode,
    plural="gpunodes",
    short=("gn",),
    columns=(
        PrinterColumn("Pool", ".spec.pool"),
        PrinterColumn("Ready", ".status.ready", "boolean"),
        PrinterColumn("Cordoned", ".spec.cordoned", "boolean"),
        PrinterColumn("Model", ".status.report.gpus[0].model"),
        PrinterColumn("Driver", ".status.report.driver", priority=1),
        PrinterColumn("Reported", ".status.reported", "date"),
        PrinterColumn("Message", ".status.message"),
        AGE,
    ),
)

NODE_POOL = Definition(
    kind=NodePool,
    plural="nodepools",
    short=("gpool",),
    columns=(
        PrinterColumn("Placement", ".spec.placement"),
        PrinterColumn("Memory Rule", ".spec.memoryRule", priority=1),
        PrinterColumn("Label", ".spec.labelKey"),
        PrinterColumn("Value", ".spec.labelValue"),
        AGE,
    ),
    rules={
        "": (
            (
                "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
                "a node pool's name: lower-case letters, digits and '-', at most 63",
            ),
        ),
    },
)

PLACEMENT_PLAN = Definition(
    kind=PlacementPlan,
    plural="placementplans",
    short=("gplan",),
    columns=(
        PrinterColumn("Method", ".spec.method"),
        PrinterColumn("Value", ".spec.value", "number"),
        PrinterColumn("Bound", ".spec.bound", "number"),
        PrinterColumn("Gap", ".spec.gap", "number"),
        PrinterColumn("Accepted", ".status.accepted", "integer"),
        PrinterColumn("Rejected", ".status.rejected", "integer"),
        PrinterColumn("Phase", ".status.phase"),
        AGE,
    ),
    status={
        "phase": {"type": "string", "enum": ["Applied", "PartlyApplied", "Waiting", "Rejected"]},
        "accepted": {"type": "integer", "minimum": 0},
        "rejected": {"type": "integer", "minimum": 0},
        "waiting": {"type": "integer", "minimum": 0},
    },
)

DEFINITIONS = (PROJECT, DEPARTMENT, NODE_POOL, GPU_NODE, PLACEMENT_PLAN)


def crd(definition: Definition) -> Schema:
    """The CustomResourceDefinition as it is applied."""
    name = _kind(definition.kind)
    version = {
        "name": API_VERSION.removeprefix(f"{API_GROUP}/"),
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _object(definition, name)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in definition.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{definition.plural}.{API_GROUP}",
            "labels": {"app.kubernetes.io/name": "migctl", "app.kubernetes.io/component": "api"},
        },
        "spec": {
            "group": API_GROUP,
            "scope": "Cluster",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": definition.plural,
                "singular": name.lower(),
                "shortNames": list(definition.short),
                "categories": ["migctl"],
            },
            "versions": [version],
        },
    }


def _object(definition: Definition, name: str) -> Schema:
    properties: Schema = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    for part in ("spec", "status"):
        declared = next((f for f in msgspec.structs.fields(definition.kind) if f.name == part), None)
        if declared is not None:
            properties[part] = _schema(types.type_info(declared.type), name, part, definition.rules)
            properties[part] |= {"default": _defaults(properties[part])} if part == "spec" else {}
    status = properties.setdefault("status", {"type": "object", "properties": {}})
    status["properties"].update(definition.status or {})
    status["properties"]["conditions"] = CONDITIONS
    whole: Schema = {"type": "object", "description": texts.of(name, ""), "properties": properties}
    return _ruled(whole, definition.rules.get("", ()))


def _schema(info: types.Type, kind: str, path: str, rules: Mapping[str, tuple[tuple[str, str], ...]]) -> Schema:
    """The structural schema of a type; `path` is where in the object it stands."""

    def nested(inner: types.Type, step: str) -> Schema:
        return _schema(inner, kind, path + step, rules)

    match info:
        case types.StructType() | types.DataclassType():
            found: Schema = {"type": "object", "properties": {}}
            for part in info.fields:
                name = camel_case(part.encode_name)
                found["properties"][name] = nested(part.type, f".{name}") | _default(part, path)
            required = [camel_case(part.encode_name) for part in info.fields if part.required]
            found |= {"required": required} if required else {}
        case types.UnionType():
            (inner,) = (t for t in info.types if not isinstance(t, types.NoneType))
            return {**_schema(inner, kind, path, rules), "nullable": True}
        case types.VarTupleType():
            found = {"type": "array", "items": nested(info.item_type, "[]")}
        case types.DictType() | types.CollectionType():
            value = info.value_type if isinstance(info, types.DictType) else info.item_type
            found = {"type": "object", "additionalProperties": nested(value, "{}")}
        case types.EnumType():
            found = {"type": "string", "enum": sorted(member.value for member in info.cls)}
        case types.DateTimeType():
            found = {"type": "string", "format": "date-time"}
        case _:
            found = {"type": SCALARS[type(info)]}
    text = texts.of(kind, path)
    return _ruled({**({"description": text} if text else {}), **found}, rules.get(path, ()))


def _default(part: types.Field, path: str) -> Schema:
    """A default for a field that is left out of a spec, so that columns and rules see it."""
    if path != "spec" or not isinstance(part.default, str | int | float):
        return {}
    return {"default": part.default.value if isinstance(part.default, Enum) else part.default}


def _defaults(spec: Schema) -> Schema:
    """The default of a spec that is left out: rules are checked on it."""
    return {name: schema["default"] for name, schema in spec["properties"].items() if "default" in schema}


SCALARS: Mapping[type[types.Type], str] = {
    types.StrType: "string",
    types.IntType: "integer",
    types.FloatType: "number",
    types.BoolType: "boolean",
}

CONDITIONS: Schema = {
    "type": "array",
    "description": "What is known about it, in the form all Kubernetes objects share.",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": {"type": "string", "maxLength": 316},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "message": {"type": "string", "maxLength": 32768},
        },
    },
}


def _ruled(schema: Schema, rules: tuple[tuple[str, str], ...]) -> Schema:
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    return schema


def _column(column: PrinterColumn) -> Schema:
    shown: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": column.priority} if column.priority else {})


def _kind(kind: type[Object]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


HEADER = "# Written by `make manifests` from migctl/objects: change that and write again.\n"


def files() -> dict[Path, str]:
    """Every CRD's file and text."""
    return {
        FOLDER / f"{d.plural}.yaml": HEADER + yaml.safe_dump(crd(d), sort_keys=False, width=120) for d in DEFINITIONS
    }


def main(write: Callable[[Path, str], Any] = Path.write_text) -> int:
    """Write the definitions."""
    for path, text in files().items():
        write(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
