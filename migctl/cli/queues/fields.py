"""The flags that say what a queue may use, and the fields of its spec that they set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer

from migctl import quantities
from migctl.cli.failures import usage
from migctl.objects import PoolQuota, Record
from solver.model.snapshot import UNLIMITED

WEIGHTS = {"none": 0.0, "low": 1.0, "medium": 2.0, "high": 3.0}

Quota = Annotated[float | None, typer.Option("--quota", metavar="GPUS", help="GPUs of its own; -1: unlimited.")]
Limit = Annotated[float | None, typer.Option("--limit", metavar="GPUS", help="Never more than this; -1: unlimited.")]
Weight = Annotated[
    str | None,
    typer.Option("--over-quota-weight", metavar="WEIGHT", help="Its part of unused GPUs: none, low, medium, high."),
]
Priority = Annotated[int | None, typer.Option("--priority", metavar="N", help="Higher ones get unused GPUs first.")]
Pools = Annotated[
    list[str] | None,
    typer.Option(
        "--pool",
        metavar="POOL=GPUS[:LIMIT]",
        help="Another quota, and limit, in this node pool; may be repeated. POOL= takes it back.",
    ),
]


@dataclass(frozen=True)
class QuotaOptions:
    """What a queue may use, as given on the command line; None: nothing was."""

    quota: Quota = None
    limit: Limit = None
    weight: Weight = None
    priority: Priority = None
    pools: Pools = None

    def fields(self, **more: Any) -> dict[str, Any]:
        """The fields of a new queue's spec that they set."""
        given = self._given(more)
        if self.pools:
            given["pools"] = {name: PoolQuota(**quota) for name, quota in map(self._pool, self.pools) if quota}
        return given

    def changes(self, spec: type[Record], cleared: Mapping[str, None] | None = None, **more: Any) -> dict[str, Any]:
        """A merge patch of the spec of a queue that exists; None: what is taken back, and `cleared` fields."""
        changes = _wire(spec, {**self._given(more), **(cleared or {})})
        if self.pools:
            pools = dict(map(self._pool, self.pools))
            changes["pools"] = {
                name: None if quota is None else _wire(PoolQuota, quota) for name, quota in pools.items()
            }
        if not changes:
            raise usage("nothing is to be changed", hint="--quota, --limit, --over-quota-weight, --priority or --pool")
        return changes

    def _given(self, more: Mapping[str, Any]) -> dict[str, Any]:
        given = {"quota": amount("--quota", self.quota), "limit": amount("--limit", self.limit), **self._rank(), **more}
        return {name: value for name, value in given.items() if value is not None}

    def _rank(self) -> dict[str, Any]:
        rank = {
            "over_quota_weight": None if self.weight is None else weight_of(self.weight),
            "priority": self.priority,
        }
        return {name: value for name, value in rank.items() if value is not None}

    def _pool(self, text: str) -> tuple[str, dict[str, Any] | None]:
        """A pool's name and the fields of its PoolQuota; None: taken back."""
        name, found, value = text.partition("=")
        quota, _, limit = value.partition(":")
        if not name or not found:
            raise usage(f"--pool {text} is not understood", hint="--pool a100=4, or --pool a100=4:8")
        if not value:
            return name, None
        try:
            gpus, most = float(quota), float(limit) if limit else UNLIMITED
        except ValueError:
            raise usage(f"--pool {text} names no numbers of GPUs", hint="--pool a100=4, or --pool a100=4:8") from None
        return name, {"quota": amount("--pool", gpus), "limit": amount("--pool", most), **self._rank()}


@dataclass(frozen=True)
class NewProjectOptions(QuotaOptions):
    """A new project's: without a quota it has 0 GPUs of its own."""

    quota: Quota = 0.0


def _wire(record: type[Record], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields under the names they have in the JSON; those with their usual value, too."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(record)}
    return {names[name]: value for name, value in fields.items()}


def amount(flag: str, gpus: float | None) -> float | None:
    """A quota or limit that a queue can have."""
    if gpus is not None and gpus != UNLIMITED and not 0 <= gpus <= quantities.MAX_GPUS:
        hint = f"0 to {quantities.MAX_GPUS:,}, or -1 for unlimited"
        raise usage(f"{flag} {gpus:.12g} is no number of GPUs that a queue can have", hint=hint)
    return gpus


def weight_of(name: str) -> float:
    """The number behind an over-quota weight's name."""
    if name not in WEIGHTS:
        raise usage(f"no over-quota weight is called {name!r}", hint=f"one of {', '.join(WEIGHTS)}")
    return WEIGHTS[name]
