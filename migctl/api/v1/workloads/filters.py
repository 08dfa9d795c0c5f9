"""filterBy, search, sortBy and pages of the list of workloads.

A filter is FIELD OPERATOR VALUE; several, with commas between them, must all be true. Texts are compared without
regard to case. `!=` is true of what has no value.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from migctl.api.v1.workloads.rows import WorkloadRow
from migctl.api.v1.workloads.spec_in import refusal

Values = Callable[[WorkloadRow], Any]
Test = Callable[[WorkloadRow], bool]

MAX_FILTERS = 20
EXAMPLE = "2026-01-31T00:00:00Z"
TEXTS: Mapping[str, Values] = MappingProxyType(
    {
        "type": lambda row: row.workload.spec.type,
        "name": lambda row: row.name,
        "id": lambda row: row.workload.meta.uid,
        "projectName": lambda row: row.project,
        "projectId": lambda row: row.place.uid,
        "departmentName": lambda row: row.place.department,
        "departmentId": lambda row: row.place.department_uid,
        "phase": lambda row: row.phase,
        "submittedBy": lambda row: row.workload.spec.user,
        "image": lambda row: row.workload.spec.image,
        "gpuRequestType": lambda row: row.request_type,
        "preemptible": lambda row: str(row.workload.spec.preemptible).lower(),
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


def filters(sent: Sequence[str]) -> list[Test]:
    """The tests that filterBy asks for. Raises Invalid."""
    texts = [one for text in sent for one in _listed(text) if one.strip()]
    if len(texts) > MAX_FILTERS:
        raise refusal("filterBy", f"{len(texts)} filters: at most {MAX_FILTERS}")
    return [_filter(text) for text in texts]


def search_for(text: str) -> Test:
    """Whether a text is found in what is shown of a workload."""
    wanted = text.casefold()
    return lambda row: wanted in row.text


def page(
    rows: Iterable[WorkloadRow], tests: Sequence[Test], sort_by: str, descending: bool, offset: int, limit: int
) -> tuple[list[WorkloadRow], bool]:
    """One page of the rows that pass all tests, and whether more follow. Raises Invalid for a field unknown."""
    values = _values("sortBy", sort_by)
    kept = passing(rows, tests)
    end = offset + limit
    more = len(kept) > end
    if offset >= len(kept):
        return [], False
    ordered = heapq.nlargest if descending else heapq.nsmallest
    return ordered(end, kept, key=lambda row: _order(values(row), row, descending))[offset:], more


def passing(rows: Iterable[WorkloadRow], tests: Sequence[Test]) -> list[WorkloadRow]:
    """The rows that pass all tests."""
    kept = list(rows)
    for test in tests:
        kept = [row for row in kept if test(row)]
    return kept


def _order(value: Any, row: WorkloadRow, descending: bool) -> tuple[Any, ...]:
    """What has no value comes last; the id decides between equals, so that pages never overlap."""
    return ((value is None) is not descending, value, row.workload.meta.uid)


def _listed(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            return found
    return _SPLIT.split(text)


def _filter(text: str) -> Test:
    match = _ONE.fullmatch(text)
    if match is None:
        raise refusal(
            "filterBy", f"{text[:80]!r} is no filter", "for example phase==Pending,createdAt>=2026-01-31T00:00:00Z"
        )
    field, operator, value = match[1], match[2], match[3].strip()
    values = _values("filterBy", field)
    if field in LISTS:
        return _of_lists(values, operator, value)
    if field in NUMBERS:
        return _ordered(values, operator, _number(field, value), field)
    if field in TIMES:
        return _ordered(values, operator, _time(field, value), field)
    return _of_texts(values, operator, value.casefold())


def _values(parameter: str, field: str) -> Values:
    if field not in FIELDS:
        raise refusal(parameter, f"{field[:40]!r} is no field", f"fields: {', '.join(FIELDS)}")
    return FIELDS[field]


def _of_texts(values: Values, operator: str, wanted: str) -> Test:
    compare = _COMPARE[operator]
    return lambda row: compare(values(row).casefold(), wanted)


def _of_lists(values: Values, operator: str, value: str) -> Test:
    """Whether one of several texts is so; `!=` and `!@`: whether none is."""
    wanted = value.casefold()
    positive = {"!=": "==", "!@": "=@"}.get(operator)
    compare = _COMPARE[positive or operator]
    if positive:
        return lambda row: not any(compare(one.casefold(), wanted) for one in values(row))
    return lambda row: any(compare(one.casefold(), wanted) for one in values(row))


def _ordered(values: Values, operator: str, wanted: Any, field: str) -> Test:
    if operator not in ORDERED:
        raise refusal(
            "filterBy", f"{operator} compares texts, and {field} is none", f"{field} takes {' '.join(ORDERED)}"
        )
    compare = _COMPARE[operator]

    def test(row: WorkloadRow) -> bool:
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
