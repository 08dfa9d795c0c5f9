"""Columns: the types of numpy arrays of one kind of number, and how small whole numbers are sorted.

Sorting them by counting costs a fraction of comparing them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

SPARSE = 8
"""Numbers below so many times their count are few enough to be counted one by one."""


def in_groups(numbers: Ints, below: int) -> Ints:
    """Positions by number (each at least 0), those of one number in their order: numpy counts what has 16 bits."""
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    for shift in range(16, (below - 1).bit_length(), 16):
        order = order[np.argsort((numbers >> shift).astype(np.uint16)[order], kind="stable")]
    return order


def begins(numbers: Ints, below: int) -> Ints:
    """(below,) where each number begins once they are sorted."""
    count = np.bincount(numbers, minlength=below)
    begin: Ints = np.cumsum(count) - count
    return begin


def distinct(numbers: Ints, below: int) -> tuple[Ints, Ints, Ints]:
    """The different numbers (each at least 0) in order, which of these each is, and how many of each there are."""
    if below > SPARSE * len(numbers):
        values, which, count = np.unique(numbers, return_inverse=True, return_counts=True)
        return values, which.ravel(), count
    count = np.bincount(numbers, minlength=below)
    values = np.flatnonzero(count)
    place = np.empty(below, dtype=np.int64)
    place[values] = np.arange(len(values))
    return values, place[numbers], count[values]
