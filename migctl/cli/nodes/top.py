"""`top nodes|jobs`: who uses the most, by GPUs allocated and GPU memory seen in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import usage
from migctl.cli.grammar import options
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.output import watching
from migctl.cli.output.listings import TableKind
from migctl.cli.output.tables import Column
from migctl.cli.output.watching import TableSource
from migctl.cli.views.workloads import ANY, WorkloadView, jobs
from migctl.gpu_map import fleet
from migctl.gpu_map.fleet import Fleet
from migctl.gpu_map.gpu_blocks import free
from migctl.objects import Claim, GpuNode, Workload

DECIMALS = 3


class TopSubject(StrEnum):
    """What `top` ranks."""

    NODES = "nodes"
    JOBS = "jobs"

    @classmethod
    def of(cls, word: str) -> TopSubject:
        """By its singular or plural. Raises Failure."""
        words = {"node": cls.NODES, "nodes": cls.NODES, **dict.fromkeys(ANY, cls.JOBS)}
        if word not in words:
            raise usage(f"{word!r} is nothing to rank", hint=f"one of {', '.join(cls)}")
        return words[word]


@dataclass(frozen=True)
class UsageRow:
    """A node or a job and its figures: GPUs of the quota currency, MiB granted and MiB in use."""

    object: Any
    allocated: float
    free: float
    granted_mib: int
    used_mib: int


@grouped
def top(
    context: typer.Context,
    *,
    word: Annotated[str, typer.Argument(metavar="[nodes|jobs]", help="What to rank.")] = TopSubject.JOBS.value,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    listed: ListOptions,
    watch: options.Watch = False,
) -> None:
    """Rank jobs or nodes by what they use.

    GPUs in the quota currency, GPU memory granted, and GPU memory that processes have in use.
    """
    session = sessions.of(context)
    what, shown = TopSubject.of(word), listed.view(session)

    async def source(control: Control) -> TableSource[UsageRow]:
        chosen = None
        if what is TopSubject.JOBS and not all_projects:
            chosen = await session.choose_project(control, project)

        async def read() -> list[UsageRow]:
            seen = await fleet.read(control)
            rows = [_node(seen, node) for node in seen.nodes] if what is TopSubject.NODES else []
            if what is TopSubject.JOBS:
                in_use = _memory_in_use(seen)
                rows = [_job(job, in_use) for job in await jobs(control, chosen)]
            return sorted(rows, key=lambda row: -row.allocated)

        table = _nodes() if what is TopSubject.NODES else _jobs()
        return TableSource(table, shown, read, empty=f"no {what}")

    watching.show(session, (GpuNode, Workload, Claim), source, watch)


def _memory_in_use(seen: Fleet) -> Mapping[str, int]:
    """MiB that processes of each claim have on GPUs, as the nodes see it."""
    used: dict[str, int] = defaultdict(int)
    for node in seen.nodes:
        for process in node.status.report.processes if node.status.report else ():
            used[process.claim or ""] += process.memory_mib
    return used


def _node(seen: Fleet, node: GpuNode) -> UsageRow:
    gpus = seen.on(node.meta.name)
    report = node.status.report
    return UsageRow(
        object=node,
        allocated=sum(gpu.used for gpu in gpus),
        free=sum(free(gpu) for gpu in gpus),
        granted_mib=sum(gpu.gpu.memory_mib for gpu in gpus),
        used_mib=sum(process.memory_mib for process in report.processes) if report else 0,
    )


def _job(job: WorkloadView, in_use: Mapping[str, int]) -> UsageRow:
    shares = [share for pod in job.pods if pod.status.allocation for share in pod.status.allocation.devices]
    return UsageRow(
        object=job.workload,
        allocated=job.allocated,
        free=0.0,
        granted_mib=sum(share.memory_mib for share in shares) if job.allocated else 0,
        used_mib=sum(in_use.get(pod.meta.uid, 0) for pod in job.pods),
    )


def _nodes() -> TableKind[UsageRow]:
    return TableKind(
        "GpuNode",
        (
            Column("NAME", lambda row: row.object.meta.name),
            _gpus("ALLOCATED", lambda row: row.allocated),
            _gpus("FREE", lambda row: row.free),
            _mib("GPU MEMORY", lambda row: row.granted_mib),
            _mib("MEMORY IN USE", lambda row: row.used_mib),
        ),
        lambda row: row.object,
        lambda row: {**_figures(row), "free": round(row.free, DECIMALS)},
    )


def _figures(row: UsageRow) -> dict[str, Any]:
    return {
        "allocated": round(row.allocated, DECIMALS),
        "memoryMib": row.granted_mib,
        "memoryInUseMib": row.used_mib,
    }


def _jobs() -> TableKind[UsageRow]:
    return TableKind(
        "Workload",
        (
            Column("NAME", lambda row: row.object.meta.name),
            Column("PROJECT", lambda row: row.object.meta.project, drop=1),
            Column("USER", lambda row: row.object.spec.user, drop=2),
            _gpus("ALLOCATED", lambda row: row.allocated),
            _mib("GPU MEMORY", lambda row: row.granted_mib),
            _mib("MEMORY IN USE", lambda row: row.used_mib),
        ),
        lambda row: row.object,
        _figures,
    )


def _gpus(header: str, value: Callable[[UsageRow], float]) -> Column[UsageRow]:
    return Column(header, lambda row: quantities.gpus_text(value(row)), key=value)


def _mib(header: str, value: Callable[[UsageRow], int]) -> Column[UsageRow]:
    return Column(header, lambda row: quantities.memory_text(value(row)), key=value)
