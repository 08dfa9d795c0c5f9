"""The -o formats, and the ones that machines read: JSON and YAML with apiVersion and kind, and names."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migctl.objects import Object, WorkloadVerdict


class Format(StrEnum):
    """The values of -o."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def human_readable(self) -> bool:
        """Whether it is a table."""
        return self in (Format.TABLE, Format.WIDE)


def document(obj: Object | WorkloadVerdict) -> dict[str, Any]:
    """An object as it is written, apiVersion and kind first."""
    from migctl.objects import API_VERSION, to_builtins

    body = to_builtins(obj)
    return {"apiVersion": API_VERSION, "kind": body.pop("kind"), **body}


def listing(kind: str, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Documents of one kind as one."""
    from migctl.objects import API_VERSION

    return {"apiVersion": API_VERSION, "kind": f"{kind}List", "items": list(documents)}


def name(obj: Object) -> str:
    """`workload/frac05`, what -o name prints and a noun-taking command accepts."""
    from migctl.objects import singular

    return f"{singular(type(obj))}/{obj.meta.name}"


NEXT_LINE = "\x85"
"""The one character that PyYAML writes as it is and reads as a space."""


def yaml_text(body: Any, width: int | None = None, *, sort_keys: bool = False) -> str:
    """A YAML document that reads back as it was. width: where long texts are broken, in columns."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, said: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", said, style='"' if NEXT_LINE in said else None)

    Dumper.add_representer(str, text)
    return yaml.dump(body, Dumper=Dumper, sort_keys=sort_keys, allow_unicode=True, width=width)


def write(body: Mapping[str, Any], format: Format) -> None:
    """One JSON or YAML document on stdout."""
    if format is Format.YAML:
        sys.stdout.write(yaml_text(body))
        return
    import json

    sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
