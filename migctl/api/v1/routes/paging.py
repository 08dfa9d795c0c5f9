"""The parameters that all lists share, and what they leave of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

from fastapi import Depends, Query

from migctl.api.v1.filters import FilterFields, passing
from migctl.api.v1.schemas.workload_specs import Text

R = TypeVar("R")

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


@dataclass(frozen=True, slots=True)
class FilterQuery:
    """Which rows of a list are meant."""

    filter_by: list[str] | None
    search: str

    def count(self, fields: FilterFields[R], rows: Iterable[R]) -> int:
        """How many of the rows are meant. Raises Invalid for a field unknown."""
        return len(passing(rows, fields.filters(self.filter_by or (), self.search)))


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which page of which rows of a list is meant."""

    chosen: FilterQuery
    sort_by: str
    sort_order: SortOrder
    offset: int
    limit: int

    def page(self, fields: FilterFields[R], rows: Iterable[R]) -> tuple[list[R], int | None]:
        """The rows of the page, and the offset of the next one, if more follow. Raises Invalid for a field unknown."""
        filters = fields.filters(self.chosen.filter_by or (), self.chosen.search)
        descending = self.sort_order is SortOrder.DESCENDING
        shown, more = fields.page(rows, filters, self.sort_by, descending, self.offset, self.limit)
        return shown, self.offset + self.limit if more else None


def _filter_query(filter_by: FilterBy = None, search: Search = "") -> FilterQuery:
    return FilterQuery(filter_by, search)


Filtered = Annotated[FilterQuery, Depends(_filter_query)]
"""What a count takes."""


def _list_query(
    chosen: Filtered,
    sort_by: SortBy = "name",
    sort_order: Order = SortOrder.ASCENDING,
    offset: Offset = 0,
    limit: Limit = 50,
) -> ListQuery:
    return ListQuery(chosen, sort_by, sort_order, offset, limit)


Listed = Annotated[ListQuery, Depends(_list_query)]
"""What a list takes that is sorted by name, unless something else is asked for."""
