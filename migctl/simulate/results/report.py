"""Results for other programs: one line for each policy."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from migctl.simulate.results.metrics import Result

NESTED = ("by_size", "over_time")
COLUMNS = tuple(field.name for field in fields(Result) if field.name not in NESTED)


def row(result: Result) -> dict[str, Any]:
    """The figures of one policy. What is not known is None."""
    return {name: getattr(result, name) for name in COLUMNS}


def as_csv(results: Iterable[Result]) -> str:
    """COLUMNS as a header, then one line for each policy; shares 0 to 1, times in seconds."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(result) for result in results)
    return text.getvalue()
