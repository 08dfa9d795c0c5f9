"""What the shell completes a name to: asked of the control plane, and nothing where it does not answer.

A command that is only being completed has not run: its options are read from the shell's line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from typer import Context

from migctl.cli.grammar.lazy_groups import TYPED
from migctl.cli.session import Session, project_names

if TYPE_CHECKING:
    from migctl.cli.contexts.control import Control

PATIENCE_S = 2.0
ENDINGS = (".yaml", ".yml", ".json")
"""Of files that hold documents."""

Names = Callable[[Context, str], list[str]]


def _completing(read: Callable[[Control, Session], Awaitable[Iterable[str]]]) -> Names:
    """The completion whose names `read` finds."""

    def complete(context: Context, incomplete: str) -> list[str]:
        session = _session(context)
        try:
            found = _asked(session, read)
        except Exception:  # a line that is being typed is no place for errors
            return []
        return sorted({name for name in found if name.startswith(incomplete)})

    return complete


def _asked(session: Session, read: Callable[[Control, Session], Awaitable[Iterable[str]]]) -> Iterable[str]:
    import asyncio

    async def connected() -> Iterable[str]:
        async with asyncio.timeout(PATIENCE_S), session.system.connect(session.target, session.environ) as control:
            return await read(control, session)

    return asyncio.run(connected())


def _session(context: Context) -> Session:
    """What the options typed so far say."""
    given: dict[str, Any] = {}
    at: Any = context
    while at is not None:
        given = {**{name: value for name, value in at.params.items() if value is not None}, **given}
        at = at.parent
    typed = {**given, **context.meta.get(TYPED, {})}
    return Session(
        context.find_root().obj.system(),
        given.get("project"),
        context=typed.get("context", given.get("control_plane")),
        kubeconfig=typed.get("kubeconfig"),
    )


async def _workloads(control: Control, session: Session) -> Iterable[str]:
    from migctl.objects import Workload

    found = (await control.list(Workload, session.setting("project", None))).items
    return (workload.meta.name for workload in found)


async def _projects(control: Control, _: Session) -> Iterable[str]:
    return await project_names(control)


async def _departments(control: Control, _: Session) -> Iterable[str]:
    from migctl.objects import Department

    return (department.meta.name for department in (await control.list(Department)).items)


async def _nodes(control: Control, _: Session) -> Iterable[str]:
    from migctl.objects import GpuNode

    return (node.meta.name for node in (await control.list(GpuNode)).items)


async def _node_pools(control: Control, _: Session) -> Iterable[str]:
    from migctl import node_pools
    from migctl.objects import GpuNode, NodePool

    nodes, pools = (await control.list(GpuNode)).items, (await control.list(NodePool)).items
    return node_pools.names(nodes, pools)


async def _plans(control: Control, _: Session) -> Iterable[str]:
    from migctl.objects import PlacementPlan

    return (plan.meta.name for plan in (await control.list(PlacementPlan)).items)


async def _profiles(control: Control, _: Session) -> Iterable[str]:
    from migctl.objects import GpuNode

    reports = [node.status.report for node in (await control.list(GpuNode)).items]
    models = (model for report in reports if report is not None for model in report.models.values())
    return (profile.name for model in models for profile in model.profiles)


async def _models(control: Control, session: Session) -> Iterable[str]:
    from migctl.objects import GpuNode

    reports = [node.status.report for node in (await control.list(GpuNode)).items]
    return (name for report in reports if report is not None for name in report.models)


async def _gpus(control: Control, _: Session) -> Iterable[str]:
    from migctl.objects import GpuNode

    nodes = (await control.list(GpuNode)).items
    there = [gpu for node in nodes if node.status.report for gpu in node.status.report.gpus]
    return [*(node.meta.name for node in nodes), *(f"{gpu.node}/{gpu.index}" for gpu in there)]


def files(context: Context, incomplete: str) -> list[str]:
    """Documents and folders below what is typed."""
    from pathlib import Path

    typed = incomplete.rpartition("/")
    folder = Path("".join(typed[:2]) or ".")
    found = []
    try:
        for path in folder.iterdir():
            if path.name.startswith(typed[2]) and (typed[2] or not path.name.startswith(".")):
                name = f"{''.join(typed[:2])}{path.name}"
                found += [f"{name}/"] if path.is_dir() else [name] if path.suffix in ENDINGS else []
    except OSError:  # a line that is being typed is no place for errors
        return []
    return sorted(found)


workloads = _completing(_workloads)
projects = _completing(_projects)
departments = _completing(_departments)
nodes = _completing(_nodes)
node_pools = _completing(_node_pools)
plans = _completing(_plans)
models = _completing(_models)
profiles = _completing(_profiles)
gpus = _completing(_gpus)
