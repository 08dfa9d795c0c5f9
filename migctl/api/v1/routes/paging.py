"""The parameters that all lists share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import Query

from migctl.api.v1.schemas.workload_specs import Text

MAX_PAGE = 500
MAX_OFFSET = 10**9


class SortOrder(StrEnum):
    ASCENDING = "asc"
    DESCENDING = "desc"


FilterBy = Annotated[
    list[Text] | None,
    Query(
        alias="filterBy",
        max_length=MAX_PAGE,
        description="FIELD OPERATOR VALUE, with commas between several, which must all be true. Operators: == != <= >= "
        "=@ (contains) !@ =^ (begins with) =$ (ends with). A field that is not known is refused with those that are.",
        examples=[["name=^team"]],
    ),
]
Search = Annotated[Text, Query(description="Text in names, ids and what else a list shows.")]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Order = Annotated[SortOrder, Query(alias="sortOrder")]
SortBy = Annotated[Text, Query(alias="sortBy", description="One of the fields of filterBy.")]
