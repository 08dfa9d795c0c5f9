"""The custom resources say what the code stores."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy import crds, texts


def schema_of(definition: crds.Definition) -> dict[str, Any]:
    schema: dict[str, Any] = crds.crd(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def paths_of(schema: dict[str, Any], path: str = "") -> set[str]:
    """Every dotted path of a schema."""
    found = {path}
    for name, nested in schema.get("properties", {}).items():
        found |= paths_of(nested, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        found |= paths_of(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        found |= paths_of(schema["additionalProperties"], f"{path}{{}}")
    return found


def test_the_files_are_those_the_code_writes() -> None:
    for path, text in crds.files().items():
        assert path.read_text() == text, f"{path.name} is stale: run `make manifests`"


@pytest.mark.parametrize("definition", crds.DEFINITIONS, ids=lambda d: d.plural)
def test_texts_and_columns_name_fields_that_exist(definition: crds.Definition) -> None:
    kind = crds.crd(definition)["spec"]["names"]["kind"]
    known = paths_of(schema_of(definition))
    assert texts.paths(kind) <= known
    for column in definition.columns:
        head = column.path.removeprefix(".").split("[?")[0].replace("[0]", "[]")
        assert head in known or head.startswith("metadata."), column


@pytest.mark.parametrize("definition", crds.DEFINITIONS, ids=lambda d: d.plural)
def test_schemas_are_structural(definition: crds.Definition) -> None:
    def check(schema: dict[str, Any], path: str) -> None:
        assert "type" in schema, path
        assert not {"$ref", "anyOf", "oneOf", "allOf"} & set(schema), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        for name, nested in schema.get("properties", {}).items():
            check(nested, f"{path}.{name}")
        for nested in (schema.get("items"), schema.get("additionalProperties")):
            if isinstance(nested, dict):
                check(nested, f"{path}[]")

    check(schema_of(definition), "")


def test_field_names_are_camel_case() -> None:
    for definition in crds.DEFINITIONS:
        assert not any("_" in path for path in paths_of(schema_of(definition)))


def test_every_manifest_is_yaml() -> None:
    for path in crds.FOLDER.parent.rglob("*.yaml"):
        assert all(document and "kind" in document for document in yaml.safe_load_all(path.read_text())), path
