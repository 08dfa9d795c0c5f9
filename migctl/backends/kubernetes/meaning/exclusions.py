"""Nodes that refused a pod a short while ago, in an annotation of the pod."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

SHORTEST = timedelta(seconds=60)
LONGEST = timedelta(minutes=30)
MOST_NODES = 100
LONGEST_WHY = 400
"""With names of 63 characters the annotation stays below a quarter of what Kubernetes allows a pod."""


class Exclusion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Until when a node is left out, why, and how often it has refused."""

    until: datetime
    why: str = ""
    times: int = 1


def read(text: str | None, now: datetime) -> dict[str, Exclusion]:
    """The exclusions that hold at `now`, by node."""
    return {node: exclusion for node, exclusion in _all(text).items() if exclusion.until > now}


def add(text: str | None, node: str, why: str, now: datetime) -> str:
    """The annotation with one more refusal: each of the same node counts twice as long as the one before.

    What was over for longer than an exclusion can last is left out, and beyond MOST_NODES what is over first.
    """
    every = {name: exclusion for name, exclusion in _all(text).items() if exclusion.until > now - LONGEST}
    times = every[node].times + 1 if node in every else 1
    every[node] = Exclusion(now + min(LONGEST, SHORTEST * 2 ** min(times - 1, 10)), why[:LONGEST_WHY], times)
    last = sorted(every.items(), key=lambda item: item[1].until)[-MOST_NODES:]
    return msgspec.json.encode(dict(last)).decode()


def _all(text: str | None) -> dict[str, Exclusion]:
    if text is None:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Exclusion])
    except msgspec.MsgspecError:
        return {}


def summary(found: Mapping[str, Exclusion]) -> str:
    """Which nodes refused and why, as a sentence; "" where none did."""
    return "; ".join(f"kube-scheduler refused {node}: {exclusion.why}" for node, exclusion in sorted(found.items()))
