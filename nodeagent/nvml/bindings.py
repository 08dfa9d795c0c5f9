"""The only module that imports pynvml."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from types import ModuleType
from typing import Any

_copies = itertools.count(1)
_spare: list[ModuleType] = []


def load(library: object | None) -> ModuleType:
    """The module pynvml, or a copy of it of our own with `library` behind it.

    pynvml keeps its library in a module variable; with a copy each, two nodes fit into one process.
    """
    if library is None:
        import pynvml

        shared: ModuleType = pynvml
        return shared
    copy: Any = _spare.pop() if _spare else _copy()
    copy._nvmlGetFunctionPointer_cache.clear()
    copy.nvmlLib = library
    module: ModuleType = copy
    return module


def _copy() -> ModuleType:
    found = importlib.util.find_spec("pynvml")
    assert found is not None
    assert found.origin is not None
    spec = importlib.util.spec_from_file_location(f"pynvml_{next(_copies)}", found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # pynvml looks itself up there while it loads
    spec.loader.exec_module(module)
    return module


def give_back(module: ModuleType) -> None:
    """Return a copy that is no longer used, for another library."""
    _spare.append(module)
