"""`department list|create|update|describe|delete`: projects that share a quota."""

from __future__ import annotations

import typer

from migctl.backends.protocol import NotFound
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.output import watching
from migctl.cli.output.listings import TableKind
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.queues import columns, description, fields
from migctl.cli.queues.commands import QueueCommands
from migctl.cli.session import Session
from migctl.objects import Department, DepartmentSpec, Meta


async def _require(control: Control, name: str) -> Department:
    name = names.plain(name, "department", "departments")
    try:
        return await control.get(Department, name)
    except NotFound:
        known = sorted(department.meta.name for department in (await control.list(Department)).items)
    hint = f"departments: {', '.join(known)}" if known else "there is none yet: migctl department create NAME"
    raise not_found(f"no department is called {name!r}", hint=hint)


COMMANDS = QueueCommands(Department, _require, description.of_department)

app = typer.Typer(cls=HelpGroup, help="Departments: projects that share a quota.", **APP_SETTINGS)


def table(session: Session) -> TableKind[Department]:
    """The table of departments."""
    return TableKind(
        "Department",
        (
            Column("NAME", lambda department: department.meta.name),
            *columns.figures(Department),
            age_column(lambda department: department.meta.created, session.system.now, wide=True, drop=9),
        ),
        lambda department: department,
    )


@app.command("list")
@grouped
def list_departments(
    context: typer.Context,
    *,
    listed: ListOptions,
    watch: options.Watch = False,
) -> None:
    """List departments, their quota and the use of all their projects."""
    session = sessions.of(context)
    shown = listed.view(session)

    async def source(control: Control) -> TableSource[Department]:
        async def read() -> list[Department]:
            return sorted((await control.list(Department)).items, key=lambda department: department.meta.name)

        return TableSource(table(session), shown, read, empty="no departments; migctl department create NAME --quota 8")

    watching.show(session, (Department,), source, watch)


@app.command("create")
@grouped
def create(
    context: typer.Context,
    *,
    name: options.NewName,
    given: fields.QuotaOptions,
    output: options.Output = None,
) -> None:
    """Create a department. Without a quota it only groups projects."""
    session = sessions.of(context)
    spec = DepartmentSpec(**given.fields())
    COMMANDS.create(session, Department(meta=Meta(name=name), spec=spec), output, f"Created department {name}")
    sessions.note(f"next: migctl project update PROJECT --department {name}")


@app.command("update")
@grouped
def update(
    context: typer.Context,
    *,
    name: options.DepartmentName,
    given: fields.QuotaOptions,
    output: options.Output = None,
) -> None:
    """Change a department's quota, limit, weight or priority."""
    session = sessions.of(context)
    changes = given.changes(DepartmentSpec)
    COMMANDS.update(session, name, changes, output)


@app.command("describe")
def describe(context: typer.Context, name: options.DepartmentName, output: options.Output = None) -> None:
    """Show a department: quota and use in each node pool, and its projects."""
    COMMANDS.describe(sessions.of(context), name, output)


@app.command("delete")
def delete(context: typer.Context, name: options.DepartmentName) -> None:
    """Delete a department; one that has projects stays."""
    COMMANDS.delete(sessions.of(context), name)
