"""Renders the chart without Helm: the few constructs that deploy/chart.py writes, and an error for any other.

`{{ .Values.a.b }}`, `{{ .Release.Namespace }}`, `{{ toJson X }}`, and a file's whole in `{{- if X }}` or
`{{- if eq X "text" }}`. tests/deploy/test_chart.py compares with Helm itself where that is installed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from deploy.chart import CHART
from deploy.kustomize import Json

_EXPRESSION = re.compile(r"\{\{-? (.*?) -?\}\}")
_WHOLE = re.compile(r"\A\{\{- if (.*?) \}\}\n(.*)\{\{- end \}\}\n\Z", re.DOTALL)


def template(values: Json | None = None, namespace: str = "migctl-system") -> list[Json]:
    """The chart's objects, CRDs included; `values` are laid over the chart's own."""
    scope = {
        "Values": merged(yaml.safe_load((CHART / "values.yaml").read_text()), values or {}),
        "Release": {"Namespace": namespace},
    }
    texts = [path.read_text() for path in sorted((CHART / "crds").iterdir())]
    texts += [_rendered(path, scope) for path in sorted((CHART / "templates").iterdir())]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def merged(under: Json, over: Json) -> Json:
    """As Helm merges values: maps key by key, all else replaced."""
    both = {
        k: merged(under[k], v) if isinstance(v, dict) and isinstance(under.get(k), dict) else v for k, v in over.items()
    }
    return {**under, **both}


def _rendered(path: Path, scope: Json) -> str:
    text = path.read_text()
    condition = _WHOLE.match(text)
    if condition:
        if not _evaluated(condition[1], scope):
            return ""
        text = condition[2]
    rendered = _EXPRESSION.sub(lambda found: _shown(found[1], scope), text)
    assert "{{" not in rendered, path
    return rendered


def _shown(expression: str, scope: Json) -> str:
    value = _evaluated(expression, scope)
    assert isinstance(value, str), f"{expression} prints Go's way of writing {value!r}: use toJson"
    return value


def _evaluated(expression: str, scope: Json) -> Any:
    match expression.split():
        case ["toJson", path]:
            return json.dumps(_looked_up(path, scope))
        case ["eq", path, text]:
            return _looked_up(path, scope) == json.loads(text)
        case [path]:
            return _looked_up(path, scope)
    raise AssertionError(f"{expression}: not known here")


def _looked_up(path: str, scope: Json) -> Any:
    assert path.startswith("."), path
    found: Any = scope
    for step in path[1:].split("."):
        found = found[step]
    return found
