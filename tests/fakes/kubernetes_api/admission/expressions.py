"""CEL, by cel-expr-python (the C++ implementation), with the functions that Kubernetes adds to the language.

What the library cannot know are Kubernetes' types: `Object.spec{name: x}` is read as the map `{"name": x}`, and a
quantity is a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext.ext_optional import ExtOptional
from cel_expr_python.ext.ext_strings import ExtStrings

from migctl.backends.kubernetes.meaning.quantities import number

DYN = cel.Type.DYN
NAMES = ("object", "oldObject", "request", "params", "variables", "namespaceObject")
LIBRARIES = ("lists", "sets", "two-var-comprehensions")
_CONSTRUCTOR = re.compile(r"\b(?:Object|JSONPatch)(?:\.\w+)*\{")
_FIELD = re.compile(r"([{,]\s*)([a-zA-Z]\w*)(\s*:)")


class BadExpression(Exception):
    """The expression has no value: it does not compile, or what it reads is not there."""


def evaluate(expression: str, known: Mapping[str, Any]) -> Any:
    """The value as plain Python. Raises BadExpression."""
    value = compiled(expression).eval(data=dict(known))
    if value.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
        raise BadExpression(f"expression '{expression}' resulted in error: {value.plain_value()}")
    return value.plain_value()


@cache
def compiled(expression: str) -> cel.Expression:
    """The expression, ready to be evaluated. Raises BadExpression."""
    try:
        return _environment().compile(_FIELD.sub(r'\1"\2"\3', _CONSTRUCTOR.sub("{", expression)))
    except Exception as error:
        raise BadExpression(f"{expression}: {error}") from error


@cache
def _environment() -> cel.Env:
    config = "name: kubernetes\nextensions:\n" + "".join(f"- name: {name}\n" for name in LIBRARIES)
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(config),
        variables=dict.fromkeys(NAMES, DYN),
        extensions=[ExtOptional(), ExtStrings()],
        functions=[
            _function("quantity", cel.Type.DOUBLE, [cel.Type.STRING], lambda text: float(number(text))),
            _method("isGreaterThan", cel.Type.BOOL, [cel.Type.DOUBLE, cel.Type.DOUBLE], lambda one, other: one > other),
            _method("asInteger", cel.Type.INT, [cel.Type.DOUBLE], _integer),
            _method("isInteger", cel.Type.BOOL, [cel.Type.DOUBLE], float.is_integer),
            _method("find", cel.Type.STRING, [cel.Type.STRING, cel.Type.STRING], _find),
            _method("sum", DYN, [cel.Type.List(DYN)], lambda many: sum(_plain(many))),
            _method("min", DYN, [cel.Type.List(DYN)], lambda many: min(_plain(many))),
            _method("max", DYN, [cel.Type.List(DYN)], lambda many: max(_plain(many))),
            _function("jsonpatch.escapeKey", cel.Type.STRING, [cel.Type.STRING], _escaped),
        ],
    )


def _function(name: str, result: cel.Type, takes: list[cel.Type], does: Callable[..., Any]) -> cel.FunctionDecl:
    return cel.FunctionDecl(name, [cel.Overload(name, return_type=result, parameters=takes, impl=does)])


def _method(name: str, result: cel.Type, takes: list[cel.Type], does: Callable[..., Any]) -> cel.FunctionDecl:
    overload = cel.Overload(name, return_type=result, parameters=takes, is_member=True, impl=does)
    return cel.FunctionDecl(name, [overload])


def _plain(many: Any) -> list[Any]:
    return [one.plain_value() if isinstance(one, cel.Value) else one for one in many]


def _integer(amount: float) -> int:
    if not amount.is_integer():
        raise ValueError("cannot convert value to integer")
    return int(amount)


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
