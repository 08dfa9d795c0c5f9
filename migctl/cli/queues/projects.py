"""`project list|create|update|describe|set|delete`: queues with quota, and which one -p defaults to."""

from __future__ import annotations

from typing import Annotated

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import usage
from migctl.cli.grammar import completion, options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.grammar.selectors import selector
from migctl.cli.output import watching
from migctl.cli.output.formats import Format
from migctl.cli.output.listings import OutputOptions, TableKind, view
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.queues import columns, description, fields
from migctl.cli.queues.commands import QueueCommands
from migctl.cli.session import Session
from migctl.objects import Meta, Project, ProjectSpec, Workload

InDepartment = Annotated[
    str | None,
    typer.Option(
        "--department",
        metavar="NAME",
        help="The department it is part of.",
        autocompletion=completion.departments,
    ),
]
MinRuntime = Annotated[
    str | None, typer.Option("--min-runtime", metavar="TIME", help="Its work is not preempted before: 10m, 2h.")
]


def table(session: Session) -> TableKind[Project]:
    """The table of projects."""
    chosen = session.setting("project", None)
    return TableKind(
        "Project",
        (
            Column("NAME", lambda project: project.meta.name),
            Column("DEFAULT", lambda project: "*" if project.meta.name == chosen else "", drop=2),
            Column("DEPARTMENT", lambda project: project.spec.department or "", drop=5),
            *columns.figures(Project),
            age_column(lambda project: project.meta.created, session.system.now, wide=True, drop=9),
        ),
        lambda project: project,
    )


def write(session: Session, shown: OutputOptions, labels: str | None, watch: bool) -> None:
    """Write every project that the label selector chooses."""
    matches = selector(labels)

    async def source(control: Control) -> TableSource[Project]:
        async def read() -> list[Project]:
            projects = (await control.list(Project)).items
            return sorted((p for p in projects if matches(p.meta.labels)), key=lambda project: project.meta.name)

        return TableSource(table(session), shown, read, empty="no projects; migctl project create NAME --quota 1")

    watching.show(session, (Project, Workload), source, watch)


COMMANDS = QueueCommands(Project, sessions.require_project, description.of_project)

app = typer.Typer(cls=HelpGroup, help="Projects: queues with quota.", **APP_SETTINGS)


@app.command("list")
@grouped
def list_projects(
    context: typer.Context,
    *,
    listed: ListOptions,
    labels: options.Selector = None,
    watch: options.Watch = False,
) -> None:
    """List projects, their quota and use. `*` marks the default one."""
    session = sessions.of(context)
    write(session, listed.view(session), labels, watch)


@app.command("create")
@grouped
def create(
    context: typer.Context,
    *,
    name: options.NewName,
    given: fields.NewProjectOptions,
    department: InDepartment = None,
    min_runtime: MinRuntime = None,
    output: options.Output = None,
) -> None:
    """Create a project."""
    session = sessions.of(context)
    spec = ProjectSpec(**given.fields(department=department, min_runtime_s=_seconds(min_runtime)))
    project = Project(meta=Meta(name=name), spec=spec)
    text = f"Created project {name} with a quota of {columns.gpus_text(spec.quota)} GPUs"
    COMMANDS.create(session, project, output, text)
    if view(session, output).format is Format.TABLE and session.setting("project", None) is None:
        sessions.note(f"next: migctl project set {name}")


@app.command("update")
@grouped
def update(
    context: typer.Context,
    *,
    name: options.ProjectName,
    given: fields.QuotaOptions,
    department: InDepartment = None,
    no_department: Annotated[bool, typer.Option("--no-department", help="Take it out of its department.")] = False,
    min_runtime: MinRuntime = None,
    output: options.Output = None,
) -> None:
    """Change a project's quota, limit, weight, priority, department or minimum runtime."""
    session = sessions.of(context)
    if department is not None and no_department:
        raise usage("--department and --no-department exclude each other", hint="keep one of them")
    leaving = {"department": None} if no_department else {}
    changes = given.changes(ProjectSpec, leaving, department=department, min_runtime_s=_seconds(min_runtime))
    COMMANDS.update(session, name, changes, output)


def _seconds(min_runtime: str | None) -> float | None:
    return None if min_runtime is None else quantities.duration(min_runtime)


@app.command("describe")
def describe(context: typer.Context, name: options.ProjectName, output: options.Output = None) -> None:
    """Show a project: quota and use in each node pool, its workloads, what happened to them lately."""
    COMMANDS.describe(sessions.of(context), name, output)


@app.command("set")
def set_default(context: typer.Context, name: options.ProjectName) -> None:
    """Choose the project that commands are about without -p."""
    session = sessions.of(context)
    found = session.run(lambda control: sessions.require_project(control, name))
    session.set_default_project(found.meta.name)
    print(f"Project {found.meta.name} is the default now")


@app.command("delete")
def delete(context: typer.Context, name: options.ProjectName) -> None:
    """Delete a project; one that has workloads stays."""
    COMMANDS.delete(sessions.of(context), name)
