"""The command and the variables of a container, as a process of one machine has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from migctl.backends.kubernetes.user.manifests import as_typed, literal
from migctl.backends.protocol import Invalid

Note = tuple[str, str]
"""A path, and what is to be said of it."""

QUICKSTART = "quickstart"
"""In an image's name: what guides begin with. migctl has a program of its own that does the same."""
GIVEN: Mapping[str, str] = MappingProxyType(
    {
        "metadata.name": "POD_NAME",
        "metadata.namespace": "MIGCTL_PROJECT",
        "metadata.annotations['batch.kubernetes.io/job-completion-index']": "JOB_COMPLETION_INDEX",
        "metadata.labels['batch.kubernetes.io/job-completion-index']": "JOB_COMPLETION_INDEX",
        "metadata.labels['apps.kubernetes.io/pod-index']": "POD_INDEX",
    }
)
"""What a pod says of itself, and the variable in which every process has it (embedded/kubelet/runner.py)."""
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "configMapKeyRef": "there is no ConfigMap here",
        "secretKeyRef": "there is no Secret here",
        "fileKeyRef": "no volume is mounted here",
        "resourceFieldRef": "its process is not kept to any resources",
    }
)
_OF_THE_POD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_REFERENCE = re.compile(r"\$(?:\$|\(([^()$]+)\))")


def process(container: Mapping[str, Any], pod: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Note]]:
    """The container with command, args and env as reading takes them, and notes.

    pod   the metadata of its pods
    path  of the container

    Raises Invalid where the program is in the image only.
    """
    notes: list[Note] = []
    environment = dict(_variables(container.get("env") or [], pod, f"{path}.env", notes))
    made = {**container, "env": [{"name": name, "value": value} for name, value in environment.items()]}
    for part in ("command", "args"):
        if isinstance(container.get(part), list):
            made[part] = [
                _expanded(word, environment, f"{path}.{part}[{number}]", notes) if isinstance(word, str) else word
                for number, word in enumerate(container[part])
            ]
    notes += _program(container, path)
    return made, notes


def _program(container: Mapping[str, Any], path: str) -> Iterator[Note]:
    image, args = str(container.get("image") or ""), container.get("args")
    if container.get("command"):
        return
    missing = "the image's own program is not on this machine"
    if isinstance(args, list) and args and not str(args[0]).startswith("-"):
        yield f"{path}.args", f"they are the whole command: {missing}"
    elif args or (image and QUICKSTART not in image):
        raise Invalid(f"{path}.command: {missing}", hint="say the whole command", field=f"{path}.command")
    else:
        yield f"{path}.command", "it is missing: migctl's own quickstart runs"


def _variables(
    entries: list[Mapping[str, Any]], pod: Mapping[str, Any], path: str, notes: list[Note]
) -> Iterator[tuple[str, Any]]:
    """Names and values, in order: a value may use the variables before it."""
    known: dict[str, Any] = {}
    for number, entry in enumerate(entries):
        here, name = f"{path}[{number}]", entry.get("name")
        if not isinstance(name, str) or not name:
            raise Invalid(f"{here}.name: a variable needs a name", field=f"{here}.name")
        value = entry.get("value")
        value = "" if value is None else value
        if entry.get("valueFrom"):
            value = _from_elsewhere(name, entry["valueFrom"], pod, f"{here}.valueFrom", notes)
        elif isinstance(value, str):
            value = _expanded(value, known, f"{here}.value", notes)
        if value is not None:
            known[name] = value
            yield name, value


def _from_elsewhere(
    name: str, source: Mapping[str, Any], pod: Mapping[str, Any], path: str, notes: list[Note]
) -> str | None:
    """The value, where the document itself has it."""
    field = (source.get("fieldRef") or {}).get("fieldPath") or ""
    found = _OF_THE_POD.fullmatch(field)
    value = (pod.get(found[1]) or {}).get(found[2]) if found else None
    if field in ("metadata.name", "metadata.namespace"):
        value = pod.get(field.removeprefix("metadata."))
    if isinstance(value, str):
        return literal(value)
    if given := GIVEN.get(field):
        if name != given:
            notes.append((path, f"{name} is not set: the process finds it in {given}"))
        return None
    why = next((text for key, text in SOURCES.items() if key in source), "")
    notes.append((path, f"{name} is not set: {why or 'one machine has no such field'}"))
    return None


def _expanded(text: str, known: Mapping[str, Any], path: str, notes: list[Note]) -> str:
    """With the values of $(NAME), as reading takes it. Kubernetes leaves a name that it does not know as it stands."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        if name in known and isinstance(known[name], str):
            return as_typed(known[name])
        if name in GIVEN.values():
            notes.append((path, f"$({name}) stays as it is: only a shell finds the value, in ${name}"))
        return match[0]

    return literal(_REFERENCE.sub(value, text))
