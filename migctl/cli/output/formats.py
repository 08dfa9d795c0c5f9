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


def write(body: Mapping[str, Any], format: Format) -> None:
    """One JSON or YAML document on stdout."""
    if format is Format.YAML:
        import yaml

        yaml.safe_dump(body, sys.stdout, sort_keys=False, allow_unicode=True, explicit_start=False)
        return
    import json

    sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
