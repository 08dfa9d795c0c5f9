"""filterBy, search, sortBy and pages of lists, the same for every kind of row.

A filter is FIELD OPERATOR VALUE; several, with commas between them, must all be true. Texts are compared without
regard to case. `!=` is true of what has no value.
"""

from __future__ import annotations

import heapq
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from migctl.api.v1.errors import refusal

R = TypeVar("R")
Values = Callable[[R], Any]
Filter = Callable[[Iterable[R]], list[R]]
"""Leaves those rows that pass. A filter goes over many thousand rows: there is no call of ours for each of them."""

MAX_FILTERS = 20


@dataclass(frozen=True, slots=True)
class FilterFields(Generic[R]):
    """What a kind of row can be filtered and sorted by, and how its value is found.

    uid    of a row; it decides between equals, so that pages never overlap
    text   of a row, casefolded: where a search looks
    texts  casefolded, too
    """

    uid: Callable[[R], str]
    text: Callable[[R], str]
    texts: Mapping[str, Values[R]]
    lists: Mapping[str, Values[R]] = field(default_factory=dict)
    numbers: Mapping[str, Values[R]] = field(default_factory=dict)
    times: Mapping[str, Values[R]] = field(default_factory=dict)

    @property
    def all(self) -> Mapping[str, Values[R]]:
        """Every field by name."""
        return {**self.texts, **self.lists, **self.numbers, **self.times}

    def filters(self, sent: Sequence[str], search: str = "") -> list[Filter[R]]:
        """The filters that filterBy and search ask for. Raises Invalid."""
        texts = [one for text in sent for one in _listed(text) if one.strip()]
        if len(texts) > MAX_FILTERS:
            raise refusal("filterBy", f"{len(texts)} filters: at most {MAX_FILTERS}")
        found = [self._filter(text) for text in texts]
        wanted, text_of = search.casefold(), self.text
        return [*found, lambda rows: [row for row in rows if wanted in text_of(row)]] if wanted else found

    def page(
        self, rows: Iterable[R], filters: Sequence[Filter[R]], sort_by: str, descending: bool, offset: int, limit: int
    ) -> tuple[list[R], bool]:
        """One page of the rows that pass all filters, and whether more follow. Raises Invalid for a field unknown."""
        values = self._values("sortBy", sort_by)
        kept = passing(rows, filters)
        end = offset + limit
        more = len(kept) > end
        if offset >= len(kept):
            return [], False
        ordered = heapq.nlargest if descending else heapq.nsmallest
        return ordered(end, kept, key=self._order(values, sort_by, descending))[offset:], more

    def _order(self, values: Values[R], field: str, descending: bool) -> Callable[[R], tuple[Any, ...]]:
        """What has no value comes last."""
        uid = self.uid
        if field in self.times:
            return lambda row: (((value := values(row)) is None) is not descending, value, uid(row))
        return lambda row: (values(row), uid(row))

    def _filter(self, text: str) -> Filter[R]:
        match = _ONE.fullmatch(text)
        if match is None:
            raise refusal(
                "filterBy", f"{text[:80]!r} is no filter", "for example phase==Pending,createdAt>=2026-01-31T00:00:00Z"
            )
        field, sign, value = match[1], match[2], match[3].strip()
        values = self._values("filterBy", field)
        if field in self.lists:
            return _of_lists(values, sign, value.casefold())
        if field in self.numbers:
            return _ordered(values, sign, _number(field, value), field)
        if field in self.times:
            return _ordered(values, sign, _time(field, value), field)
        return _of_texts(values, sign, value.casefold())

    def _values(self, parameter: str, field: str) -> Values[R]:
        fields = self.all
        if field not in fields:
            raise refusal(parameter, f"{field[:40]!r} is no field", f"fields: {', '.join(fields)}")
        return fields[field]


def passing(rows: Iterable[R], filters: Sequence[Filter[R]]) -> list[R]:
    """The rows that pass all filters."""
    kept = list(rows)
    for one in filters:
        kept = one(kept)
    return kept


_SPLIT = re.compile(r",(?=\s*[A-Za-z]{1,40}\s*(?:==|!=|<=|>=|=@|!@|=\^|=\$))")
_ONE = re.compile(r"\s*([A-Za-z]{1,40})\s*(==|!=|<=|>=|=@|!@|=\^|=\$)(.*)", re.DOTALL)
ORDERED = ("==", "!=", "<=", ">=")


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    return _SPLIT.split(text)


def _of_texts(values: Values[R], sign: str, wanted: str) -> Filter[R]:
    compare = _COMPARE[sign]
    return lambda rows: [row for row in rows if compare(values(row), wanted)]


def _of_lists(values: Values[R], sign: str, wanted: str) -> Filter[R]:
    """Whether one of several texts is so; `!=` and `!@`: whether none is."""
    negative = sign in _NEGATIVE
    compare = _COMPARE[_NEGATIVE.get(sign, sign)]
    return lambda rows: [
        row for row in rows if any(compare(one.casefold(), wanted) for one in values(row)) is not negative
    ]


def _ordered(values: Values[R], sign: str, wanted: Any, field: str) -> Filter[R]:
    if sign not in ORDERED:
        rule = f"{sign} compares texts, and {field} is none"
        raise refusal("filterBy", rule, f"{field} takes {' '.join(ORDERED)}")
    compare, unset = _COMPARE[sign], sign == "!="
    return lambda rows: [row for row in rows if (unset if (value := values(row)) is None else compare(value, wanted))]


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise refusal("filterBy", f"{field}: {text[:40]!r} is no number", f"for example {field}>=1") from None


def _time(field: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise refusal(
            "filterBy", f"{field}: {text[:40]!r} is no time", f"for example {field}>=2026-01-31T00:00:00Z"
        ) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "==": operator.eq,
        "!=": operator.ne,
        "<=": operator.le,
        ">=": operator.ge,
        "=@": operator.contains,
        "!@": lambda value, wanted: wanted not in value,
        "=^": str.startswith,
        "=$": str.endswith,
    }
)
_NEGATIVE = {"!=": "==", "!@": "=@"}
