"""Errors, hangs and kills at chosen driver calls, and a record of the calls made.

A fault is written `CALL#N=ACTION`: the Nth call (default 1) whose name matches CALL (`*` and `?`
as in a shell) does ACTION: `kill` (SIGKILL to the caller), `hang`, or an NVML error by its name
or number. `after-` in front of an error: the driver does it first and then reports the error.
Several faults are joined by `;`. From outside a process: the variable
MIGCTL_SIMULATED_FAULTS, which holds faults or `@` and the path of a file with them.
"""

from __future__ import annotations

import fnmatch
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.simulated_nvml.hardware import NvmlReturn

VARIABLE = "MIGCTL_SIMULATED_FAULTS"
_FAULT = re.compile(r"(?P<call>[\w*?]+)(#(?P<nth>\d+))?=(?P<after>after-)?(?P<action>\w+)")


class BadFault(ValueError):
    """The text is no fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the `nth` call that matches `call`.

    error  an NVML return code; None: `hang` or, without it, SIGKILL
    after  the driver does what was called for first
    """

    call: str
    nth: int = 1
    error: int | None = None
    hang: bool = False
    after: bool = False


def parse(text: str) -> tuple[Fault, ...]:
    """Raises BadFault."""
    return tuple(_fault(part.strip()) for part in text.split(";") if part.strip())


def _fault(text: str) -> Fault:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise BadFault(f"{text!r} is no fault; write for example nvmlGpuInstanceDestroy#2=IN_USE")
    call, nth, after, action = match["call"], int(match["nth"] or 1), bool(match["after"]), match["action"]
    if action in ("kill", "hang"):
        return Fault(call, nth, hang=action == "hang")
    if action.isdecimal():
        return Fault(call, nth, int(action), after=after)
    if action not in NvmlReturn.__members__:
        raise BadFault(f"{text!r}: unknown error {action!r}; known: {', '.join(NvmlReturn.__members__)}")
    return Fault(call, nth, NvmlReturn[action], after=after)


def from_environment(environment: Mapping[str, str]) -> tuple[Fault, ...]:
    """The faults of a process with this environment. Raises BadFault."""
    text = environment.get(VARIABLE, "")
    if text.startswith("@"):
        path = Path(text[1:])
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    return parse(text)


class Faults:
    """The faults of one process. Counts begin at its start. Thread-safe.

    observe  is called with the name of every call, before anything else happens
    hanging  is set when a call hangs; `released` lets it go on
    """

    def __init__(self, faults: Iterable[Fault] = (), observe: Callable[[str], None] | None = None) -> None:
        self._faults = tuple(faults)
        self._observe = observe
        self._seen = [0] * len(self._faults)
        self._lock = threading.Lock()
        self.hanging = threading.Event()
        self.released = threading.Event()

    def meet(self, call: str) -> Fault | None:
        """The fault of this call, if any. Does not return on a kill; on a hang, once `released` is set."""
        if self._observe is not None:
            self._observe(call)
        fault = self._due(call)
        if fault is None or fault.error is not None:
            return fault
        if fault.hang:
            self.hanging.set()
            self.released.wait()
            return None
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def _due(self, call: str) -> Fault | None:
        due = None
        with self._lock:
            for i, fault in enumerate(self._faults):
                if fnmatch.fnmatchcase(call, fault.call):
                    self._seen[i] += 1
                    if self._seen[i] == fault.nth:
                        due = fault
        return due
