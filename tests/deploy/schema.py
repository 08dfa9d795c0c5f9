"""Objects against the API's own schema, as the `kubernetes` library has it: every field known, typed and complete."""

from __future__ import annotations

import re
from typing import Any

from kubernetes.client import models

_SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "object": (object,),
    "datetime": (str,),
}
_LIST = re.compile(r"List\[(.*)\]")
_MAP = re.compile(r"Dict\[str, (.*)\]")


def model_of(document: dict[str, Any]) -> str:
    """The library's name of an object's kind. Its models carry the version, not the group."""
    version: str = document["apiVersion"].rpartition("/")[2]
    return f"{version[0].upper()}{version[1:]}{document['kind']}"


def check(value: Any, kind: str, path: str = "") -> None:
    """Raises AssertionError, naming the field."""
    if (inner := _LIST.fullmatch(kind)) is not None:
        assert isinstance(value, list), path
        for index, item in enumerate(value):
            check(item, inner[1], f"{path}[{index}]")
    elif (inner := _MAP.fullmatch(kind)) is not None:
        assert isinstance(value, dict), path
        for key, item in value.items():
            check(item, inner[1], f"{path}.{key}")
    elif kind in _SCALARS:
        assert isinstance(value, _SCALARS[kind]), f"{path}: {value!r} is no {kind}"
    else:
        _check_fields(value, getattr(models, kind), path)


def _check_fields(value: Any, model: Any, path: str) -> None:
    """A class of the library: its fields, and what it refuses to be made without."""
    assert isinstance(value, dict), path
    fields = {json_name: name for name, json_name in model.attribute_map.items()}
    for json_name, item in value.items():
        assert json_name in fields, f"{path}.{json_name} is unknown to {model.__name__}"
        check(item, model.openapi_types[fields[json_name]], f"{path}.{json_name}")
    model(**{fields[json_name]: item for json_name, item in value.items()})
