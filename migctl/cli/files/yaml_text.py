"""YAML as Kubernetes reads it: a key stands once and is text, and what looks like a date is text.

A text is looked through before anything is made of it: how deep it goes, and how much it is with its aliases written
out, which a few lines can make endless.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import suppress
from functools import cache
from typing import Any

from migctl.cli.failures import Failure, usage

MAX_DEPTH = 64
"""Of one thing inside another. Kubernetes' deepest field is at about 20."""
MAX_NODES = 500_000
"""Keys, values and lists, with aliases written out."""
TAG = "tag:yaml.org,2002:"
TAGS = frozenset(TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))
"""Others make what no document holds: dates, sets, bytes, objects of Python."""


def load(text: str, name: str) -> list[Any]:
    """What each document of the text says. Raises Failure, with the name and the line."""
    import yaml

    try:
        with suppress(json.JSONDecodeError):
            return [_json(text, name)]
        _look_through(text, name)
        return list(yaml.load_all(text, _loader()))
    except yaml.YAMLError as error:
        raise _no_yaml(name, text, error) from None
    except ValueError as error:  # a number with thousands of digits
        raise usage(f"{name}: this is no YAML: {error}") from None


def _json(text: str, name: str) -> Any:
    """The text as JSON, some of which is no YAML. Raises JSONDecodeError where it is none."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
            raise usage(f"{name}: the key {twice!r} stands twice")
        return made

    def no_number(said: str) -> Any:
        raise usage(f"{name}: {said} is no number here")

    def finite(said: str) -> float:
        return number if math.isfinite(number := float(said)) else no_number(said)

    try:
        found = json.loads(text, object_pairs_hook=once, parse_constant=no_number, parse_float=finite)
        if _is_deep(found):
            raise RecursionError
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise usage(f"{name}: it goes deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise usage(f"{name}: half of a letter is no text") from None
    return found


def _is_deep(value: Any) -> bool:
    """Whether it goes deeper than a text may."""
    layer = [value]
    for _ in range(MAX_DEPTH + 1):
        inside = (part.values() if isinstance(part, dict) else part for part in layer if isinstance(part, dict | list))
        layer = [part for parts in inside for part in parts]
    return bool(layer)


def _no_yaml(name: str, text: str, error: Exception) -> Failure:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    line = f", line {mark.line + 1}" if mark is not None else ""
    begun = text.splitlines()[mark.line : mark.line + 1] if mark is not None else []
    hint = "YAML is indented with spaces, not with tabs" if begun and begun[0].lstrip(" ").startswith("\t") else ""
    return usage(f"{name}{line}: this is no YAML: {problem}", hint=hint)


def _look_through(text: str, name: str) -> None:
    """Raises Failure for what is too deep, too much, or no plain data."""
    import yaml

    sizes: dict[str, int] = {}
    path: list[tuple[str | None, int]] = []
    """Of each thing that is open: its anchor, and how much came before it."""
    total = 0
    events: Any = yaml.parse(text, _base())
    for event in events:
        line = f"{name}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.DocumentStartEvent):
            sizes.clear()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise usage(f"{line}: *{event.anchor} names nothing that is whole before it")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            tag: str | None = getattr(event, "tag", None)
            if tag is not None and tag not in ("!", *TAGS):
                raise usage(f"{line}: a document has no value of type {tag.removeprefix(TAG)}")
            path.append((event.anchor, total))
            total += 1
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionEndEvent):
            anchor, before = path.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if len(path) > MAX_DEPTH:
            raise usage(f"{line}: it goes deeper than {MAX_DEPTH} levels")
        if total > MAX_NODES:
            raise usage(f"{line}: with its aliases written out it is more than {MAX_NODES:,} values")


def _base() -> Any:
    """The parser of libyaml, which is ten times as fast, or else Python's."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _loader() -> Any:
    import yaml

    class Loader(_base()):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set[str]()
            for key, _ in node.value:
                if key.tag == f"{TAG}merge":
                    continue
                _as_text(key)
                if key.value in seen:
                    raise _wrong(f"the key {key.value!r} stands twice", key)
                seen.add(key.value)
            return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

        def construct_finite(self, node: Any) -> float:
            number: float = self.construct_yaml_float(node)
            if not math.isfinite(number):
                raise _wrong(f"{node.value} is no number here", node)
            return number

    Loader.add_constructor(f"{TAG}float", Loader.construct_finite)
    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in found if tag not in (f"{TAG}timestamp", f"{TAG}value")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def _as_text(key: Any) -> None:
    """Make text of a number or yes and no, as kubectl does. Raises YAMLError for what is no name at all."""
    import yaml

    if not isinstance(key, yaml.ScalarNode) or key.tag.removeprefix(TAG) not in ("str", "int", "bool"):
        said = key.value if isinstance(key, yaml.ScalarNode) else "a list or an object"
        raise _wrong(f"the key {said} is no text: write it in quotes", key)
    if key.tag == f"{TAG}bool":
        key.value = str(yaml.SafeLoader.bool_values[key.value.lower()]).lower()
    key.tag = f"{TAG}str"


def _wrong(problem: str, node: Any) -> Exception:
    import yaml

    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
