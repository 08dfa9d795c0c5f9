"""filterBy, search, sortBy and pages of lists, the same for every kind of row.

A filter is FIELD OPERATOR VALUE; several, with commas between them, must all be true. Texts are compared without
regard to case. `!=` is true of what has no value.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from migctl.api.v1.errors import refusal

R = TypeVar("R")
Values = Callable[[R], Any]
Test = Callable[[R], bool]

MAX_FILTERS = 20


@dataclass(frozen=True, slots=True)
class FilterFields(Generic[R]):
    """What a kind of row can be filtered and sorted by, and how its value is found.

    uid   of a row; it decides between equals, so that pages never overlap
    text  of a row, casefolded: where a search looks
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

    def tests(self, sent: Sequence[str], search: str = "") -> list[Test[R]]:
        """The tests that filterBy and search ask for. Raises Invalid."""
        texts = [one for text in sent for one in _listed(text) if one.strip()]
        if len(texts) > MAX_FILTERS:
            raise refusal("filterBy", f"{len(texts)} filters: at most {MAX_FILTERS}")
        tests = [self._filter(text) for text in texts]
        wanted = search.casefold()
        return [*tests, lambda row: wanted in self.text(row)] if wanted else tests

    def page(
        self, rows: Iterable[R], tests: Sequence[Test[R]], sort_by: str, descending: bool, offset: int, limit: int
    ) -> tuple[list[R], bool]:
        """One page of the rows that pass all tests, and whether more follow. Raises Invalid for a field unknown."""
        values = self._values("sortBy", sort_by)
        kept = passing(rows, tests)
        end = offset + limit
        more = len(kept) > end
        if offset >= len(kept):
            return [], False
        ordered = heapq.nlargest if descending else heapq.nsmallest
        return ordered(end, kept, key=lambda row: self._order(values(row), row, descending))[offset:], more

    def _order(self, value: Any, row: R, descending: bool) -> tuple[Any, ...]:
        """What has no value comes last."""
        return ((value is None) is not descending, value, self.uid(row))

    def _filter(self, text: str) -> Test[R]:
        match = _ONE.fullmatch(text)
        if match is None:
            raise refusal(
                "filterBy", f"{text[:80]!r} is no filter", "for example phase==Pending,createdAt>=2026-01-31T00:00:00Z"
            )
        field, operator, value = match[1], match[2], match[3].strip()
        values = self._values("filterBy", field)
        if field in self.lists:
            return _of_lists(values, operator, value)
        if field in self.numbers:
            return _ordered(values, operator, _number(field, value), field)
        if field in self.times:
            return _ordered(values, operator, _time(field, value), field)
        return _of_texts(values, operator, value.casefold())

    def _values(self, parameter: str, field: str) -> Values[R]:
        fields = self.all
        if field not in fields:
            raise refusal(parameter, f"{field[:40]!r} is no field", f"fields: {', '.join(fields)}")
        return fields[field]


def passing(rows: Iterable[R], tests: Sequence[Test[R]]) -> list[R]:
    """The rows that pass all tests."""
    kept = list(rows)
    for test in tests:
        kept = [row for row in kept if test(row)]
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


def _of_texts(values: Values[R], operator: str, wanted: str) -> Test[R]:
    compare = _COMPARE[operator]
    return lambda row: compare(values(row).casefold(), wanted)


def _of_lists(values: Values[R], operator: str, value: str) -> Test[R]:
    """Whether one of several texts is so; `!=` and `!@`: whether none is."""
    wanted = value.casefold()
    positive = {"!=": "==", "!@": "=@"}.get(operator)
    compare = _COMPARE[positive or operator]
    if positive:
        return lambda row: not any(compare(one.casefold(), wanted) for one in values(row))
    return lambda row: any(compare(one.casefold(), wanted) for one in values(row))


def _ordered(values: Values[R], operator: str, wanted: Any, field: str) -> Test[R]:
    if operator not in ORDERED:
        raise refusal(
            "filterBy", f"{operator} compares texts, and {field} is none", f"{field} takes {' '.join(ORDERED)}"
        )
    compare = _COMPARE[operator]

    def test(row: R) -> bool:
        value = values(row)
        return operator == "!=" if value is None else compare(value, wanted)

    return test


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
        "==": lambda value, wanted: value == wanted,
        "!=": lambda value, wanted: value != wanted,
        "<=": lambda value, wanted: value <= wanted,
        ">=": lambda value, wanted: value >= wanted,
        "=@": lambda value, wanted: wanted in value,
        "!@": lambda value, wanted: wanted not in value,
        "=^": lambda value, wanted: value.startswith(wanted),
        "=$": lambda value, wanted: value.endswith(wanted),
    }
)
