"""NVML's return codes as our own errors.

NvmlError                  any other return code; `code` is NVML's
├── LibraryMissing         no libnvidia-ml.so.1, or no driver behind it
├── NvmlNotFound           no such GPU or instance (any more)
├── NotSupported           this GPU, driver or MIG mode does not do it
├── NotPermitted           needs CAP_SYS_ADMIN
├── InUse                  a process holds it
├── InsufficientResources  no free placement (also: exactly that instance exists already)
├── Lost                   the GPU fell off the bus or must be reset
└── TimedOut               nothing happened in time
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class NvmlError(Exception):
    """NVML refused. The text names the call and the reason."""

    def __init__(self, message: str, code: int = 999) -> None:
        super().__init__(message)
        self.code = code


class LibraryMissing(NvmlError):
    """There is no libnvidia-ml.so.1, or no driver behind it."""


class NvmlNotFound(NvmlError):
    """There is no such GPU or instance (any more)."""


class NotSupported(NvmlError):
    """This GPU, driver or MIG mode does not support the call."""


class NotPermitted(NvmlError):
    """The call needs CAP_SYS_ADMIN."""


class InUse(NvmlError):
    """A process uses the GPU or the instance."""


class InsufficientResources(NvmlError):
    """No placement is free, or exactly that instance exists already."""


class Lost(NvmlError):
    """The GPU fell off the bus or must be reset."""


class TimedOut(NvmlError):
    """Nothing happened in time."""


_FUNCTION_NOT_FOUND = 13
_ERRORS: dict[int, type[NvmlError]] = {
    3: NotSupported, 4: NotPermitted, 6: NvmlNotFound, 9: LibraryMissing, 10: TimedOut, 12: LibraryMissing,
    13: NotSupported, 15: Lost, 16: Lost, 18: LibraryMissing, 19: InUse, 23: InsufficientResources,
}  # fmt: skip


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Raise ours for pynvml's errors."""

    @functools.wraps(function)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except Exception as e:
            if type(e).__module__.split("_")[0] != "pynvml":
                raise
            if type(e).__name__ == "NVMLLibraryMismatchError":  # pynvml's error for a missing function
                raise NotSupported("the driver is older than R510: update it", _FUNCTION_NOT_FOUND) from e
            code = getattr(e, "value", None)
            if not isinstance(code, int):
                raise
            what = function.__name__.replace("_", " ").strip()
            raise error_for(code, f"{what}: {e}") from e

    return wrapper


def error_for(code: int, text: str) -> NvmlError:
    """Our error for a return code."""
    return _ERRORS.get(code, NvmlError)(f"{text} (NVML code {code})", code)
