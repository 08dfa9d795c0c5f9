"""Fields that clients know and one of our backends cannot give: refused with the reason, or taken with a warning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue

from migctl.api.v1.schemas.schema import Schema


class SentBody(Schema):
    """A body as it arrives: as JSON, or, as one client library sends it, as JSON in a JSON string."""

    @model_validator(mode="before")
    @classmethod
    def unwrapped(cls, sent: Any) -> Any:
        if not isinstance(sent, str):
            return sent
        try:
            return json.loads(sent)
        except (ValueError, RecursionError):
            return sent


@dataclass(frozen=True, slots=True)
class NotHere:
    """Of a field: that it is refused, and why. Null, false and what is empty ask for nothing."""

    reason: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return handler.generate_schema(Annotated[None, BeforeValidator(self._refused)])

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": f"Refused: {self.reason}."}

    def _refused(self, given: Any) -> None:
        if given not in (None, False, "", [], {}):
            raise ValueError(f"is not supported: {self.reason}")


@dataclass(frozen=True, slots=True)
class WithoutEffect:
    """Of a field: that it is taken and changes nothing here, and why that does no harm."""

    reason: str


def without_effect(sent: BaseModel, path: str = "spec") -> Iterator[str]:
    """A sentence for each field that was given and changes nothing."""
    for name, field in type(sent).model_fields.items():
        value = getattr(sent, name)
        if value in (None, False, []):
            continue
        here = f"{path}.{field.alias or name}"
        yield from (f"{here} has no effect: {one.reason}" for one in field.metadata if isinstance(one, WithoutEffect))
        if isinstance(value, BaseModel):
            yield from without_effect(value, here)
