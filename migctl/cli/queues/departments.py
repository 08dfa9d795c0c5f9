"""`department list|create|update|describe|delete`: projects that share a quota."""

from __future__ import annotations

import typer

from migctl.backends.protocol import NotFound
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.output import watching
from migctl.cli.output.listings import TableKind, view, write_one
from migctl.cli.output.tables import Column, age_column
from migctl.cli.output.watching import TableSource
from migctl.cli.queues import columns, description, fields, making
from migctl.cli.session import Session
from migctl.objects import Department, DepartmentSpec, Meta

app = typer.Typer(cls=HelpGroup, help="Departments: projects that share a quota.", **APP_SETTINGS)


def table(session: Session) -> TableKind[Department]:
    return TableKind(
        "Department",
        (
            Column("NAME", lambda department: department.meta.name),
            *columns.figures(Department),
            age_column(lambda department: department.meta.created, session.system.now, wide=True),
        ),
        lambda department: department,
    )


@app.command("list")
def list_departments(
    context: typer.Context,
    output: options.Output = None,
    no_headers: options.NoHeaders = False,
    sort_by: options.SortBy = None,
    watch: options.Watch = False,
) -> None:
    """List departments, their quota and the use of all their projects."""
    session = sessions.of(context)
    shown = view(session, output, not no_headers, sort_by)

    async def written(control: Control) -> None:
        async def read() -> list[Department]:
            return sorted((await control.list(Department)).items, key=lambda department: department.meta.name)

        listing = TableSource(
            table(session), shown, read, empty="no departments; migctl department create NAME --quota 8"
        )
        await watching.write(control, (Department,), listing, watch)

    session.run(written)


@app.command("create")
def create(
    context: typer.Context,
    name: options.Name,
    quota: fields.Quota = None,
    limit: fields.Limit = None,
    weight: fields.Weight = None,
    priority: fields.Priority = None,
    pools: fields.Pools = None,
    output: options.Output = None,
) -> None:
    """Create a department. Without a quota it only groups projects."""
    session = sessions.of(context)
    spec = DepartmentSpec(**fields.Flags(quota, limit, weight, priority, pools).fields())

    made = session.run(lambda control: making.create(control, Department(meta=Meta(name=name), spec=spec)))
    write_one(made, view(session, output), lambda: print(f"Created department {name}"))
    sessions.note(f"next: migctl project update PROJECT --department {name}")


@app.command("update")
def update(
    context: typer.Context,
    name: options.Name,
    quota: fields.Quota = None,
    limit: fields.Limit = None,
    weight: fields.Weight = None,
    priority: fields.Priority = None,
    pools: fields.Pools = None,
    output: options.Output = None,
) -> None:
    """Change a department's quota, limit, weight or priority."""
    session = sessions.of(context)
    changes = fields.Flags(quota, limit, weight, priority, pools).changes(DepartmentSpec)

    async def updated(control: Control) -> Department:
        return await control.patch(await _require(control, name), {"spec": changes})

    write_one(session.run(updated), view(session, output), lambda: print(f"Updated department {name}"))


@app.command("describe")
def describe(context: typer.Context, name: options.Name, output: options.Output = None) -> None:
    """Show a department: quota and use in each node pool, and its projects."""
    session = sessions.of(context)

    async def read(control: Control) -> description.Described:
        return await description.of_department(control, await _require(control, name))

    description.write(session.run(read), session, view(session, output))


@app.command("delete")
def delete(context: typer.Context, name: options.Name) -> None:
    """Delete a department; one that has projects stays."""
    session = sessions.of(context)

    async def deleted(control: Control) -> None:
        await control.delete(await _require(control, name))

    session.run(deleted)
    print(f"Deleted department {name}")


async def _require(control: Control, name: str) -> Department:
    try:
        return await control.get(Department, name)
    except NotFound:
        known = sorted(department.meta.name for department in (await control.list(Department)).items)
    hint = f"departments: {', '.join(known)}" if known else "there is none yet: migctl department create NAME"
    raise not_found(f"no department is called {name!r}", hint=hint)
