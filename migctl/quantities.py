"""GPU memory, portions, durations and ages as text: parsing and formatting.

Memory is read exactly (decimal, never binary floating point). Text that does not parse raises
BadQuantity, which names the rule. Memory is bytes in text and whole MiB inside: MiB = ceil(bytes / 2^20).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from nodeagent.contract.units import MIB

SMALLEST_MEMORY = 100 * 10**6
MAX_GPUS = 10**6
MAX_DURATION_S = 10 * 365 * 86400.0

FLAG_UNITS = {
    "M": 10**6, "Mi": 2**20, "MB": 10**6, "MiB": 2**20,
    "G": 10**9, "Gi": 2**30, "GB": 10**9, "GiB": 2**30,
}  # fmt: skip
QUANTITY_UNITS = {**FLAG_UNITS, "k": 10**3, "Ki": 2**10, "T": 10**12, "Ti": 2**40, "": 1}

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)
_DECIMAL = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)([A-Za-z]*)", re.ASCII)


class BadQuantity(ValueError):
    """The text does not parse; the message names the form, `hint` gives an example."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def flag_memory(text: str) -> int:
    """GPU memory as flags take it, `5G` or `512MiB`, in MiB. A unit is required."""
    return _mib(text, FLAG_UNITS, "a number and a unit: M, Mi, MB, MiB, G, Gi, GB or GiB")


def annotation_memory(text: str) -> int:
    """GPU memory as annotations take it, in MiB: a plain integer is MiB, anything else a quantity with a unit."""
    if re.fullmatch(r"\d+", text, re.ASCII):
        return _large_enough(text, int(text) * MIB)
    return _mib(text, QUANTITY_UNITS, "a number of MiB, or a number and a unit")


def memory_bytes(text: str) -> int:
    """A machine's memory as Kubernetes takes it, `1500`, `20M` or `4Gi`, in bytes."""
    return _bytes(text, QUANTITY_UNITS, "a number of bytes, or a number and a unit")


def _mib(text: str, units: dict[str, int], form: str) -> int:
    return _large_enough(text, _bytes(text, units, form))


def _bytes(text: str, units: dict[str, int], form: str) -> int:
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] not in units:
        raise BadQuantity(f"{text[:40]!r} is not an amount of memory: give {form}", "for example 5G or 512Mi")
    return math.ceil(Decimal(match[1]) * units[match[2]])


def _large_enough(text: str, size: int) -> int:
    if size < SMALLEST_MEMORY:
        raise BadQuantity(f"{text!r} is too little GPU memory: at least 100 MB are needed", "for example 5G or 512Mi")
    return -(-size // MIB)


def fraction(text: str) -> float:
    """A part of one GPU, 0 < x < 1."""
    value = _number(text)
    if not 0 < value < 1:
        raise BadQuantity(f"{text!r} is not a part of a GPU: give a number above 0 and below 1", "for example 0.5")
    return value


def fraction_or_gpus(text: str) -> float | int:
    """A part of one GPU (float, 0 < x < 1) or a number of whole GPUs (int, 1 or more)."""
    value = _number(text)
    if 0 < value < 1:
        return value
    if 1 <= value <= MAX_GPUS and value == int(value):
        return int(value)
    if value > MAX_GPUS:
        raise BadQuantity(f"{text[:40]} GPUs are more than there can be: at most {MAX_GPUS:,}", "for example 0.5 or 2")
    raise BadQuantity(
        f"{text!r} GPUs cannot be given: request a part of one GPU (above 0 and below 1) or whole ones (1, 2, ...)",
        "for example 0.5 or 2",
    )


def _number(text: str) -> float:
    """A plain decimal number; nan for all else, which no comparison accepts."""
    return float(text) if _DECIMAL.fullmatch(text) else math.nan


def duration(text: str) -> float:
    """Seconds in `90`, `90s`, `5m`, `1h30m` or `2d`."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise BadQuantity(
            f"{text!r} is not a duration: give seconds, or a number and s, m, h or d", "for example 90s or 1h30m"
        )
    seconds = sum(float(count or 0) * size for count, size in zip(match.groups(), (86400, 3600, 60, 1), strict=True))
    if seconds > MAX_DURATION_S:
        raise BadQuantity(f"{text[:40]!r} is too long: at most ten years", "for example 90s or 1h30m")
    return seconds


def portion_text(portion: float) -> str:
    """A portion of GPUs, rounded to 0.01: `0.50`."""
    return f"{portion:.2f}"


def gpus_text(gpus: float) -> str:
    """GPUs in the quota currency, exact enough for sevenths: `1.00`, `0.857`."""
    exact = f"{gpus:.3f}"
    return exact.removesuffix("0")


def memory_text(mib: int) -> str:
    """`4769 MiB`, as every part of migctl writes GPU memory."""
    return f"{mib} MiB"


_AGES = (
    (2 * 60, (("s", 1),)),
    (10 * 60, (("m", 60), ("s", 1))),
    (3 * 3600, (("m", 60),)),
    (8 * 3600, (("h", 3600), ("m", 60))),
    (48 * 3600, (("h", 3600),)),
    (8 * 86400, (("d", 86400), ("h", 3600))),
    (730 * 86400, (("d", 86400),)),
    (math.inf, (("y", 365 * 86400), ("d", 86400))),
)


def age_text(seconds: float) -> str:
    """So many seconds ago, in one or two units as kubectl writes it: `9s`, `3m20s`, `4d2h`. Below zero is `0s`."""
    rest = max(0, int(seconds))
    units = next(units for limit, units in _AGES if rest < limit)
    text = ""
    for name, size in units:
        count, rest = divmod(rest, size)
        if count or not text:
            text += f"{count}{name}"
    return text
