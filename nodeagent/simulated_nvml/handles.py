"""The opaque handles a C library hands out, and writing through the pointers it is given."""

from __future__ import annotations

import ctypes
import itertools
import threading
from dataclasses import dataclass
from typing import Any

from nodeagent.simulated_nvml.hardware import NvmlReturn, Refused


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """A whole GPU, by its UUID."""

    gpu: str


@dataclass(frozen=True, slots=True)
class MigDevice:
    """A MIG device: ids of its GPU instance and compute instance, and its own UUID."""

    gpu: str
    gi: int
    ci: int
    uuid: str


@dataclass(frozen=True, slots=True)
class GpuInstance:
    """`serial` tells an instance from a later one with the same id."""

    gpu: str
    gi: int
    serial: int


@dataclass(frozen=True, slots=True)
class ComputeInstance:
    """A compute instance, by ids and the UUID of its MIG device."""

    gpu: str
    gi: int
    ci: int
    uuid: str


@dataclass(frozen=True, slots=True)
class EventSet:
    """A set of events."""

    number: int


Target = GpuDevice | MigDevice | GpuInstance | ComputeInstance | EventSet


class Handles:
    """One handle per target for the life of the library."""

    def __init__(self) -> None:
        self._targets: dict[int, Target] = {}
        self._numbers: dict[Target, int] = {}
        self._next = itertools.count(0x51000000, 0x100)
        self._lock = threading.Lock()

    def give(self, target: Target, out: Any) -> None:
        """Write the target's handle where `out` (byref of a handle) points."""
        self._write(target, ctypes.addressof(out._obj))

    def give_item(self, target: Target, array: Any, position: int) -> None:
        """Write the target's handle into an array of handles."""
        self._write(target, ctypes.addressof(array) + position * ctypes.sizeof(ctypes.c_void_p))

    def give_field(self, target: Target, out: Any, field: str) -> None:
        """Write the target's handle into a field of the structure `out` (byref) points to."""
        self._write(target, ctypes.addressof(out._obj) + getattr(type(out._obj), field).offset)

    def _write(self, target: Target, address: int) -> None:
        with self._lock:
            if target not in self._numbers:
                number = next(self._next)
                self._numbers[target] = number
                self._targets[number] = target
            number = self._numbers[target]
        ctypes.c_void_p.from_address(address).value = number

    def target(self, handle: Any) -> Target:
        """What a handle stands for. Raises Refused."""
        number = ctypes.cast(handle, ctypes.c_void_p).value or 0
        if number not in self._targets:
            raise Refused(NvmlReturn.INVALID_ARGUMENT)
        return self._targets[number]


def value(argument: Any) -> Any:
    """The plain value of an argument that may be a ctypes integer or string."""
    return getattr(argument, "value", argument)


def put(out: Any, result: Any) -> None:
    """Write a number where `out` (byref of an integer) points."""
    out._obj.value = result


def fill(out: Any, **fields: Any) -> None:
    """Write fields of the structure `out` (byref) points to."""
    for name, result in fields.items():
        setattr(out._obj, name, result)


def text(buffer: Any, size: Any, result: str) -> None:
    """Write a string into a buffer. Raises Refused where it is too small."""
    data = result.encode()
    if len(data) >= value(size):
        raise Refused(NvmlReturn.INSUFFICIENT_SIZE)
    buffer.value = data
