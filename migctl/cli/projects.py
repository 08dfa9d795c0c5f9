"""`project list|create|update|set|delete`: queues with quota, and which one -p defaults to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer

from migctl import quantities
from migctl.backends.protocol import AlreadyExists
from migctl.cli import options, session
from migctl.cli.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import APP_SETTINGS, PatientGroup
from migctl.cli.output import watching
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import Listed, View, view, write_one
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import Listing
from migctl.cli.selectors import selector
from migctl.cli.session import Session
from migctl.objects import Meta, Project, ProjectSpec, Workload

UNLIMITED = -1
WEIGHTS = {"none": 0.0, "low": 1.0, "medium": 2.0, "high": 3.0}

Quota = Annotated[float | None, typer.Option("--quota", metavar="GPUS", help="GPUs of its own; -1: unlimited.")]
Limit = Annotated[float | None, typer.Option("--limit", metavar="GPUS", help="Never more than this; -1: unlimited.")]
Weight = Annotated[
    str | None,
    typer.Option("--over-quota-weight", metavar="WEIGHT", help="Its part of unused GPUs: none, low, medium, high."),
]
Priority = Annotated[int | None, typer.Option("--priority", metavar="N", help="Higher ones get unused GPUs first.")]
Department = Annotated[str | None, typer.Option("--department", metavar="NAME", help="The department it is part of.")]
MinRuntime = Annotated[
    str | None, typer.Option("--min-runtime", metavar="TIME", help="Its work is not preempted before: 10m, 2h.")
]


def table(asked: Session) -> Listed[Project]:
    chosen = asked.setting("project", None)
    return Listed(
        "Project",
        (
            Column("NAME", lambda project: project.meta.name),
            Column("DEFAULT", lambda project: "*" if project.meta.name == chosen else ""),
            Column("DEPARTMENT", lambda project: project.spec.department or ""),
            _gpus("QUOTA", lambda project: project.spec.quota),
            _gpus("LIMIT", lambda project: project.spec.limit, wide=True),
            Column("WEIGHT", lambda project: _weight(project.spec.over_quota_weight), wide=True),
            Column("PRIORITY", lambda project: str(project.spec.priority), wide=True),
            _gpus("ALLOCATED", lambda project: project.status.allocated),
            _gpus("NON-PREEMPTIBLE", lambda project: project.status.non_preemptible),
            _gpus("REQUESTED", lambda project: project.status.requested),
            _gpus("FAIR SHARE", lambda project: project.status.fair_share),
            age_column(lambda project: project.meta.created, asked.world.now, wide=True),
        ),
        lambda project: project,
    )


def _gpus(header: str, value: Callable[[Project], float], wide: bool = False) -> Column[Project]:
    def text(project: Project) -> str:
        return "unlimited" if value(project) == UNLIMITED else quantities.gpus_text(value(project))

    return Column(header, text, key=value, wide=wide)


def _weight(value: float) -> str:
    return next((name for name, weight in WEIGHTS.items() if weight == value), f"{value:g}")


def write(asked: Session, shown: View, labels: str | None, watch: bool) -> None:
    """Write every project that the label selector chooses."""
    matches = selector(labels)

    async def written(control: Control) -> None:
        async def read() -> list[Project]:
            projects = (await control.list(Project)).items
            return sorted((p for p in projects if matches(p.meta.labels)), key=lambda project: project.meta.name)

        listing = Listing(table(asked), shown, read, empty="no projects; migctl project create NAME --quota 1")
        await watching.write(control, (Project, Workload), listing, watch)

    asked.run(written)


app = typer.Typer(cls=PatientGroup, help="Projects: queues with quota.", **APP_SETTINGS)


@app.command("list")
def list_projects(
    context: typer.Context,
    output: options.Output = None,
    no_headers: options.NoHeaders = False,
    sort_by: options.SortBy = None,
    labels: options.Selector = None,
    watch: options.Watch = False,
) -> None:
    """List projects, their quota and use. `*` marks the default one."""
    asked = session.of(context)
    write(asked, view(asked, output, not no_headers, sort_by), labels, watch)


@app.command("create")
def create(
    context: typer.Context,
    name: options.Name,
    quota: Quota = 0.0,
    limit: Limit = None,
    weight: Weight = None,
    priority: Priority = None,
    department: Department = None,
    min_runtime: MinRuntime = None,
    output: options.Output = None,
) -> None:
    """Create a project."""
    asked = session.of(context)
    spec = ProjectSpec(**_given(quota, limit, weight, priority, department, min_runtime))

    async def created(control: Control) -> Project:
        try:
            return await control.create(Project(meta=Meta(name=name), spec=spec))
        except AlreadyExists:
            raise Failure(
                f"there is a project {name!r} already",
                hint=f"migctl project update {name} --quota ...",
                code=ExitCode.CONFLICT,
            ) from None

    made = asked.run(created)
    text = f"Created project {name} with a quota of {quantities.gpus_text(made.spec.quota)} GPUs"
    write_one(made, view(asked, output), lambda: print(text))
    if view(asked, output).format is Format.TABLE and asked.setting("project", None) is None:
        session.note(f"next: migctl project set {name}")


@app.command("update")
def update(
    context: typer.Context,
    name: options.Name,
    quota: Quota = None,
    limit: Limit = None,
    weight: Weight = None,
    priority: Priority = None,
    department: Department = None,
    min_runtime: MinRuntime = None,
    output: options.Output = None,
) -> None:
    """Change a project's quota, limit, weight, priority, department or minimum runtime."""
    asked = session.of(context)
    changes = _given(quota, limit, weight, priority, department, min_runtime)
    if not changes:
        raise usage("nothing is to be changed", hint="migctl project update --help")

    async def updated(control: Control) -> Project:
        project = await session.require_project(control, name)
        fields = {field.name: field.encode_name for field in msgspec.structs.fields(ProjectSpec)}
        return await control.patch(project, {"spec": {fields[key]: value for key, value in changes.items()}})

    write_one(asked.run(updated), view(asked, output), lambda: print(f"Updated project {name}"))


def _given(
    quota: float | None,
    limit: float | None,
    weight: str | None,
    priority: int | None,
    department: str | None,
    min_runtime: str | None,
) -> dict[str, Any]:
    """The fields of a ProjectSpec that flags set."""
    fields = {
        "quota": _amount("--quota", quota),
        "limit": _amount("--limit", limit),
        "over_quota_weight": None if weight is None else _weight_of(weight),
        "priority": priority,
        "department": department,
        "min_runtime_s": None if min_runtime is None else quantities.duration(min_runtime),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _amount(flag: str, gpus: float | None) -> float | None:
    if gpus is not None and gpus != UNLIMITED and not 0 <= gpus <= quantities.MOST_GPUS:
        raise usage(f"{flag} {gpus:g} is no number of GPUs", hint="0 or more, or -1 for unlimited")
    return gpus


def _weight_of(name: str) -> float:
    if name not in WEIGHTS:
        raise usage(f"no over-quota weight is called {name!r}", hint=f"one of {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


@app.command("set")
def set_default(context: typer.Context, name: options.Name) -> None:
    """Choose the project that commands are about without -p."""
    asked = session.of(context)
    asked.run(lambda control: session.require_project(control, name))
    asked.keep(project=name)
    print(f"Project {name} is the default now")


@app.command("delete")
def delete(context: typer.Context, name: options.Name) -> None:
    """Delete a project; one that has workloads stays."""
    asked = session.of(context)

    async def deleted(control: Control) -> None:
        await control.delete(await session.require_project(control, name))

    asked.run(deleted)
    print(f"Deleted project {name}")
