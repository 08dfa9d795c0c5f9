"""filterBy, search, sortBy and pages of the list of workloads.

A filter is FIELD OPERATOR VALUE; several, with commas between them, must all be true. Texts are compared without
regard to case. `!=` is true of what has no value.
"""

from __future__ import annotations

import heapq
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from migctl.api.v1.workloads.rows import WorkloadRow
from migctl.api.v1.workloads.spec_in import refusal

Values = Callable[[WorkloadRow], Any]
Filter = Callable[[list[WorkloadRow]], list[WorkloadRow]]
"""Leaves those rows that pass. A filter goes over many thousand rows: there is no call for each of them."""

MAX_FILTERS = 20
EXAMPLE = "2026-01-31T00:00:00Z"


def _text(field: str) -> Values:
    return lambda row: row.texts[field]


TEXTS: Mapping[str, Values] = MappingProxyType(
    {
        field: _text(field)
        for field in (
            "type",
            "name",
            "id",
            "projectName",
            "projectId",
            "departmentName",
            "departmentId",
            "phase",
            "submittedBy",
            "image",
            "gpuRequestType",
            "preemptible",
        )
    }
)
LISTS: Mapping[str, Values] = MappingProxyType(
    {"nodepool": lambda row: row.workload.spec.pools, "nodeName": lambda row: row.nodes}
)
NUMBERS: Mapping[str, Values] = MappingProxyType(
    {
        "allocatedGPU": lambda row: row.gpus,
        "runningPods": lambda row: row.workload.status.running,
        "priority": lambda row: row.workload.spec.priority,
    }
)
TIMES: Mapping[str, Values] = MappingProxyType(
    {"createdAt": lambda row: row.created, "completedAt": lambda row: row.workload.status.finished}
)
FIELDS: Mapping[str, Values] = MappingProxyType({**TEXTS, **LISTS, **NUMBERS, **TIMES})

_SPLIT = re.compile(r",(?=\s*[A-Za-z]{1,40}\s*(?:==|!=|<=|>=|=@|!@|=\^|=\$))")
_ONE = re.compile(r"\s*([A-Za-z]{1,40})\s*(==|!=|<=|>=|=@|!@|=\^|=\$)(.*)", re.DOTALL)
ORDERED = ("==", "!=", "<=", ">=")


def filters(sent: Sequence[str]) -> list[Filter]:
    """The filters that filterBy asks for. Raises Invalid."""
    texts = [one for text in sent for one in _listed(text) if one.strip()]
    if len(texts) > MAX_FILTERS:
        raise refusal("filterBy", f"{len(texts)} filters: at most {MAX_FILTERS}")
    return [_filter(text) for text in texts]


def search_for(text: str) -> Filter:
    """Whether a text is found in what is shown of a workload."""
    wanted = text.casefold()
    return lambda rows: [row for row in rows if wanted in row.text]


def page(
    rows: list[WorkloadRow], filters: Sequence[Filter], sort_by: str, descending: bool, offset: int, limit: int
) -> tuple[list[WorkloadRow], bool]:
    """One page of the rows that pass, and whether more follow. Raises Invalid for a field unknown."""
    values = _values("sortBy", sort_by)
    kept, end = passing(rows, filters), offset + limit
    if offset >= len(kept):
        return [], False
    ordered = heapq.nlargest if descending else heapq.nsmallest
    return ordered(end, kept, key=_order(values, sort_by, descending))[offset:], len(kept) > end


def passing(rows: list[WorkloadRow], filters: Sequence[Filter]) -> list[WorkloadRow]:
    """The rows that pass all filters."""
    for one in filters:
        rows = one(rows)
    return rows


def _order(values: Values, field: str, descending: bool) -> Callable[[WorkloadRow], tuple[Any, ...]]:
    """What has no value comes last; the id decides between equals, so that pages never overlap."""
    if field in TIMES:
        return lambda row: (((value := values(row)) is None) is not descending, value, row.uid)
    return lambda row: (values(row), row.uid)


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    return _SPLIT.split(text)


def _filter(text: str) -> Filter:
    match = _ONE.fullmatch(text)
    if match is None:
        raise refusal("filterBy", f"{text[:80]!r} is no filter", f"for example phase==Pending,createdAt>={EXAMPLE}")
    field, sign, value = match[1], match[2], match[3].strip()
    values = _values("filterBy", field)
    if field in LISTS:
        return _of_lists(values, sign, value.casefold())
    if field in NUMBERS:
        return _ordered(values, sign, _number(field, value), field)
    if field in TIMES:
        return _ordered(values, sign, _time(field, value), field)
    compare, wanted = _COMPARE[sign], value.casefold()
    return lambda rows: [row for row in rows if compare(row.texts[field], wanted)]


def _values(parameter: str, field: str) -> Values:
    if field not in FIELDS:
        raise refusal(parameter, f"{field[:40]!r} is no field", f"fields: {', '.join(FIELDS)}")
    return FIELDS[field]


def _of_lists(values: Values, sign: str, wanted: str) -> Filter:
    """Whether one of several texts is so; `!=` and `!@`: whether none is."""
    negative = sign in NEGATIVE
    compare = _COMPARE[NEGATIVE.get(sign, sign)]
    return lambda rows: [
        row for row in rows if any(compare(one.casefold(), wanted) for one in values(row)) is not negative
    ]


def _ordered(values: Values, sign: str, wanted: Any, field: str) -> Filter:
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
NEGATIVE = {"!=": "==", "!@": "=@"}
