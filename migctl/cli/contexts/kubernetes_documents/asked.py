"""The GPUs that a document asks for: by annotations, by limits of resources, or by a claim of our device class."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from migctl.backends.kubernetes.meaning import names
from migctl.backends.protocol import Invalid
from migctl.cli.contexts.kubernetes_documents.fields import COUNTED, a_list, an_object
from migctl.cli.contexts.kubernetes_documents.process import Note

OUR_WORDS = re.compile(r"fraction|gpu|mig|gang|preempt|mov|pool")
YES_OR_NO = (names.PREEMPTIBLE, names.MOVABLE)
NUMBERS = (names.GANG_SIZE, names.DEVICES)
NOT_READ = (names.CONTAINERS, names.WHOLE, names.GANG_MEMBERS)
"""What admission writes on a cluster; of an object that was there it stands in what is exported."""
OURS = (
    names.FRACTION,
    names.MEMORY,
    names.PROFILE,
    names.DEVICES,
    names.CONTAINER,
    names.MODEL,
    names.POOLS,
    names.PREEMPTIBLE,
    names.MOVABLE,
    names.GANG_SIZE,
    names.GANG_DOMAIN,
)
OUR_LABELS = (names.TYPE_LABEL, names.WORKLOAD_LABEL, names.PROJECT_LABEL)
OF_A_CONTAINER = "nvidia.com/container.{}.gpu-memory.{}"
MODE = "nvidia.com/container.{}.gpu-compute.mode"
MIG = "nvidia.com/mig-"
HOST = re.compile(r"cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+")
TEMPLATES = "ResourceClaimTemplate"

Json = dict[str, Any]


class GpusAsked:
    """What one template asks for. where: its path, with a dot behind it.

    templates  the ResourceClaimTemplates that are read together with it, by name
    """

    def __init__(self, template: Mapping[str, Any], where: str, templates: Mapping[str, Any]) -> None:
        self.annotations = annotations_of(template, where)
        self.pod = template["spec"]
        self.container = self.pod["containers"][0]
        self.where = where
        self.path = f"{where}spec.containers[0]"
        self.templates = templates

    def read(self) -> tuple[dict[str, str], Json, list[Note]]:
        """Annotations and limits that ask for the same in the one way that reading takes, and notes. Raises Invalid."""
        notes = list(self._host_resources())
        ways = dict(self._ways(notes)) or dict(self._claims())
        if len(ways) > 1:
            raise Invalid(f"{' and '.join(ways)} exclude each other", hint="request GPUs in one way")
        kept = {
            name: text for name, text in self.annotations.items() if name in OURS and name not in names.OF_A_CONTAINER
        }
        self._check_container(kept.pop(names.CONTAINER, None))
        limits: Json = {}
        for name, text in ways.values():
            if name == names.RESOURCE:
                limits = {name: text}
            elif name.startswith(MIG):
                kept[names.PROFILE] = name.removeprefix(MIG).replace(".me", "+me")
                if str(text) != "1":
                    kept[names.DEVICES] = str(text)
            else:
                kept[name] = text
        return kept, limits, notes

    def _ways(self, notes: list[Note]) -> Iterator[tuple[str, tuple[str, Any]]]:
        """Each way in which it asks for GPUs, by the words for it: the annotation or the limit."""
        named = self.container.get("name", "")
        for name in names.OF_A_CONTAINER:
            for written in (name, f"{name}.{named}"):
                if written in self.annotations:
                    yield written, (name, self.annotations[written])
        for written in (OF_A_CONTAINER.format(named, part) for part in ("request", "limit")):
            if written in self.annotations:
                yield written, (names.MEMORY, _mib(self.annotations[written]))
                break
        limit = OF_A_CONTAINER.format(named, "limit")
        request = OF_A_CONTAINER.format(named, "request")
        if self.annotations.keys() >= {limit, request} and self.annotations[limit] != self.annotations[request]:
            notes.append((f"{self.where}metadata.annotations.{limit}", "it gets what it requests, and does not grow"))
        if MODE.format(named) in self.annotations:
            mode = f"{self.where}metadata.annotations.{MODE.format(named)}"
            notes.append((mode, "processes of one GPU take turns as the driver has it"))
        for resource, value in self._resources("limits").items():
            if resource == names.RESOURCE or resource.startswith(MIG):
                self._count(resource, value)
                yield f"a limit of {resource}", (resource, value)

    def _claims(self) -> Iterator[tuple[str, tuple[str, Any]]]:
        """What claims of our class ask for where nothing else asks: whole GPUs."""
        used = {claim.get("name") for claim in (self.container.get("resources") or {}).get("claims") or ()}
        for number, claim in enumerate(self.pod.get("resourceClaims") or ()):
            path = f"{self.where}spec.resourceClaims[{number}]"
            name = claim.get("resourceClaimTemplateName")
            if claim.get("name") not in used:
                raise Invalid(f"{path}: no container uses it", hint=f"{self.path}.resources.claims", field=path)
            if not name or name not in self.templates:
                told = f"template {name}" if name else "ResourceClaim"
                raise Invalid(
                    f"{path}: its {told} is in none of the documents",
                    hint=f"a {TEMPLATES} of class {names.DEVICE_CLASS}, or the annotation {names.FRACTION}",
                    field=path,
                )
            yield f"a claim of {names.DEVICE_CLASS}", (names.RESOURCE, str(_devices(self.templates[name], name)))

    def _resources(self, part: str) -> Mapping[str, Any]:
        resources = self.container.get("resources")
        found = (resources or {}).get(part)
        return {} if found is None else an_object(found, f"{self.path}.resources.{part}")

    def _host_resources(self) -> Iterator[Note]:
        """CPU and memory of the host, which nobody keeps a process to here. Raises Invalid for others."""
        limits = self._resources("limits")
        for part in ("limits", "requests"):
            for name, value in self._resources(part).items():
                path = f"{self.path}.resources.{part}.{name}"
                if HOST.fullmatch(name):
                    yield path, str(COUNTED)
                elif name != names.RESOURCE and not name.startswith(MIG):
                    raise Invalid(f"{path}: this machine has no such resource", field=path)
                elif part == "requests" and str(limits.get(name)) != str(value):
                    raise Invalid(
                        f"{path}: it must be a limit, and the same", hint="requests may be left out", field=path
                    )

    def _count(self, resource: str, value: Any) -> None:
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
            path = f"{self.path}.resources.limits.{resource}"
            raise Invalid(
                f"{path}: {text!r} is no number of GPUs",
                hint=f"1, 2, ...; a part of one is the annotation {names.FRACTION}",
                field=path,
            )

    def _check_container(self, name: str | None) -> None:
        if name not in (None, self.container.get("name")):
            path = f"{self.where}metadata.annotations.{names.CONTAINER}"
            raise Invalid(f"{path}: there is no container {name!r}", field=path)


def _mib(text: str) -> str:
    """A quantity of bytes as the annotation gpu-memory takes it, where a number is MiB."""
    return str(math.ceil(int(text[:30]) / (1 << 20))) if text.isascii() and text.isdigit() else text


def _devices(body: Mapping[str, Any], name: str) -> int:
    """How many GPUs a ResourceClaimTemplate asks for. Raises Invalid for those of others' classes."""
    spec = an_object(
        an_object(body.get("spec"), f"{TEMPLATES} {name}: spec").get("spec"), f"{TEMPLATES} {name}: spec.spec"
    )
    path = f"{TEMPLATES} {name}: spec.spec.devices"
    found = 0
    for request in a_list(an_object(spec.get("devices"), path).get("requests"), f"{path}.requests"):
        exactly = an_object(an_object(request, path).get("exactly", request), path)
        if exactly.get("deviceClassName") != names.DEVICE_CLASS:
            raise Invalid(
                f"{path}.requests: class {exactly.get('deviceClassName')} is not of this machine",
                hint=f"deviceClassName: {names.DEVICE_CLASS}",
                field="spec.devices.requests",
            )
        count = exactly.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise Invalid(f"{path}.requests: count {count!r} is no number of GPUs", field="spec.devices.requests")
        found += count
    return found


def annotations_of(template: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The annotations of the pods."""
    return _part(template, "annotations", where)


def _part(owner: Mapping[str, Any], part: str, where: str) -> Mapping[str, Any]:
    metadata = owner.get("metadata")
    found = an_object({} if metadata is None else metadata, f"{where}metadata").get(part)
    return {} if found is None else an_object(found, f"{where}metadata.{part}")


def check_names(body: Mapping[str, Any], template: Mapping[str, Any], where: str) -> Iterator[Note]:
    """Refuse what is almost one of our names, or stands in a wrong place; the paths of what is not kept."""
    containers: Sequence[Mapping[str, Any]] = template["spec"]["containers"]
    named = containers[0].get("name", "")
    right = {*OURS, *(f"{name}.{named}" for name in names.OF_A_CONTAINER), MODE.format(named)}
    right |= {OF_A_CONTAINER.format(named, part) for part in ("request", "limit")}
    for name, value in annotations_of(template, where).items():
        path = f"{where}metadata.annotations.{name}"
        if name in NOT_READ:
            raise Invalid(f"{path}: it is written by migctl on a cluster", hint="leave it out", field=path)
        if name not in right and OUR_WORDS.search(name.lower()):
            raise _almost(path, name, right)
        if name in YES_OR_NO and value not in ("true", "false"):
            raise Invalid(f'{path}: "{value}" must be "true" or "false"', field=path)
        if name in NUMBERS and not (value.isascii() and value.isdigit() and int(value[:9]) > 0):
            raise Invalid(f'{path}: "{value}" must be a whole number, 1 or more', field=path)
        if name not in right and not _of_kubernetes(name):
            yield path, NOT_KEPT
    for place, written in _elsewhere(body, template, where):
        for name in written:
            if name not in OUR_LABELS and (name in right or OUR_WORDS.search(name.lower())):
                raise Invalid(
                    f"{place}.{name}: a request stands in {where}metadata.annotations", field=f"{place}.{name}"
                )
            if place == "metadata.annotations" and not _of_kubernetes(name):
                yield f"{place}.{name}", NOT_KEPT


NOT_KEPT = "one machine keeps labels, and no annotations"


def _of_kubernetes(name: str) -> bool:
    """Whether Kubernetes or its tools have written it."""
    prefix = name.partition("/")[0]
    return "/" in name and (prefix == "kubernetes.io" or prefix.endswith((".kubernetes.io", ".k8s.io")))


def _almost(path: str, name: str, right: set[str]) -> Invalid:
    short = {ours.rpartition("/")[2]: ours for ours in sorted(right)}
    close = get_close_matches(name.rpartition("/")[2], list(short), n=1)
    hint = f"did you mean {short[close[0]]}?" if close else ""
    return Invalid(f"{path}: migctl does not know it", hint=hint, field=path)


def _elsewhere(
    body: Mapping[str, Any], template: Mapping[str, Any], where: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where our names do not belong."""
    yield f"{where}metadata.labels", _part(template, "labels", where)
    if where:
        yield "metadata.labels", _part(body, "labels", "")
        yield "metadata.annotations", _part(body, "annotations", "")
