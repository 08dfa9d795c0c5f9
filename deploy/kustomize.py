"""What `kubectl kustomize` renders, for the little of it that the manifests here use: resources and JSON patches.

The Helm chart is made from this, and tests look at it where there is no kubectl; where there is one, a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

HERE = Path(__file__).parent
MANIFESTS = HERE / "manifests"
OVERLAYS = HERE / "overlays"
_KNOWN = {"apiVersion", "kind", "resources", "patches"}


def render(folder: Path) -> list[Json]:
    """The objects of a folder with a kustomization, in its order. Raises ValueError for what is not done here."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := kustomization.keys() - _KNOWN:
        raise ValueError(f"{folder / 'kustomization.yaml'}: {', '.join(sorted(unknown))} is not rendered here")
    objects = [found for name in kustomization["resources"] for found in _resource(folder / name)]
    for patch in kustomization.get("patches", ()):
        operations = yaml.safe_load((folder / patch["path"]).read_text())
        for found in objects:
            if (found["kind"], found["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"]):
                apply(found, operations)
    return objects


def _resource(path: Path) -> Iterable[Json]:
    return render(path) if path.is_dir() else load(path)


def load(path: Path) -> list[Json]:
    """The objects of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def apply(found: Json, operations: Iterable[Json]) -> None:
    """A JSON patch (RFC 6902) of `add` and `replace`, in place. Raises KeyError, IndexError, ValueError."""
    for operation in operations:
        *steps, last = (step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:])
        parent: Any = found
        for step in steps:
            parent = parent[int(step) if isinstance(parent, list) else step]
        match operation["op"], parent:
            case "add", list() if last == "-":
                parent.append(operation["value"])
            case "add", dict():
                parent[last] = operation["value"]
            case "replace", dict() if last in parent:
                parent[last] = operation["value"]
            case "replace", list():
                parent[int(last)] = operation["value"]
            case _:
                raise ValueError(f"{operation['op']} {operation['path']} is not done here")
