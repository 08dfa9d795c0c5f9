"""Label selectors: `a=b`, `a==b`, `a!=b`, `a`, `!a`, joined by commas; all must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from migctl.cli.failures import usage

Labels = Mapping[str, str]

_KEY = r"[A-Za-z0-9][\w./-]*"
_TERM = re.compile(rf"(?P<no>!)?(?P<key>{_KEY})(?:(?P<operator>==?|!=)(?P<value>[\w.-]*))?", re.ASCII)


def selector(text: str | None) -> Callable[[Labels], bool]:
    """Whether labels match; everything does without a selector."""
    terms = [_term(part.strip()) for part in text.split(",")] if text else []
    return lambda labels: all(term(labels) for term in terms)


def _term(text: str) -> Callable[[Labels], bool]:
    match = _TERM.fullmatch(text)
    if match is None or (match["no"] and match["operator"]):
        raise usage(f"{text!r} is not a label selector", hint="a=b, a!=b, a or !a, joined by commas")
    key, value = match["key"], match["value"]
    if match["no"]:
        return lambda labels: key not in labels
    if match["operator"] is None:
        return lambda labels: key in labels
    if match["operator"] == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: labels.get(key) == value
