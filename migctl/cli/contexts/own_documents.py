"""Documents of migctl's own objects: as -o yaml prints them, or with the metadata that a cluster stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from migctl import admission
from migctl.backends import merge
from migctl.backends.protocol import Invalid
from migctl.objects import API_VERSION, Department, NodePool, Project, Workload, to_builtins

Described = Workload | Project | Department | NodePool

KINDS: Mapping[str, type[Any]] = MappingProxyType(
    {kind.__name__: kind for kind in (Workload, Project, Department, NodePool)}
)
FIELDS = ("apiVersion", "kind", "meta", "metadata", "spec", "status", "figures")
WRITTEN_BY_THE_CONTROL_PLANE = ("uid", "version", "created", "deleting", "finalizers")
WRITTEN_BY_KUBERNETES = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers")
"""What lists show of an object and nobody writes: it is passed over, and so are status and figures."""
METADATA = {"name": "name", "namespace": "project", "labels": "labels"}


def read(body: Mapping[str, Any]) -> tuple[Described, frozenset[str]]:
    """The object, and the fields of its spec that the document has. Raises Invalid, naming the field."""
    for key in body:
        if key not in FIELDS:
            raise no_field(str(key), FIELDS)
    meta, spec = body.get("meta"), body.get("spec")
    if meta is None:
        meta = _from_metadata(body.get("metadata"))
    elif isinstance(meta, Mapping):
        meta = {key: value for key, value in meta.items() if key not in WRITTEN_BY_THE_CONTROL_PLANE}
    document = {"kind": body["kind"], "meta": meta, **({} if spec is None else {"spec": spec})}
    try:
        made: Described = merge.decoded(msgspec.json.encode(document), KINDS[body["kind"]])
    except TypeError as error:
        raise Invalid(f"this is no {body['kind']}: {error}") from None
    if not made.meta.name:
        raise Invalid("meta.name: an object needs a name", field="meta.name")
    return made, frozenset(map(str, spec or ()))


def written(obj: Described) -> dict[str, Any]:
    """What people write of an object, as -o yaml prints it."""
    body = to_builtins(msgspec.convert(to_builtins(obj), type(obj)))  # 60 seconds are 60.0, whoever wrote them
    meta = {key: value for key, value in body["meta"].items() if key not in WRITTEN_BY_THE_CONTROL_PLANE}
    return {"apiVersion": API_VERSION, "kind": body["kind"], "meta": meta, "spec": body.get("spec", {})}


def placed(workload: Workload, project: str) -> Workload:
    """The workload in this project."""
    return replace(workload, meta=replace(workload.meta, project=project))


def ranked(workload: Workload, said: frozenset[str]) -> Workload:
    """With the priority that its type has. Raises Invalid where the document says another."""
    made = admission.ranked(workload.spec)
    for field in ("priority", "preemptible"):
        given, right = getattr(workload.spec, field), getattr(made, field)
        if field in said and given != right:
            rule = f"it follows from the type, and is {msgspec.json.encode(right).decode()} for a {workload.spec.type}"
            raise Invalid(f"spec.{field}: {rule}", hint=f"leave {field} out", field=f"spec.{field}")
    return replace(workload, spec=made)


def no_field(path: str, known: Iterable[str]) -> Invalid:
    """The refusal of a field that there is not."""
    close = get_close_matches(path.rpartition(".")[2], list(known), n=1)
    return Invalid(f"{path}: there is no such field", hint=f"did you mean {close[0]}?" if close else "", field=path)


def _from_metadata(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise Invalid("meta: an object needs a name", hint="meta: {name: NAME}", field="meta")
    for key in metadata:
        if key not in METADATA and key not in WRITTEN_BY_KUBERNETES:
            raise no_field(f"metadata.{key}", METADATA)
    return {METADATA[key]: value for key, value in metadata.items() if key in METADATA}
