"""`access grant|revoke|list`: roles of users."""

from __future__ import annotations

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import not_found
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, HelpGroup
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.identity import scope
from migctl.cli.output.listings import TableKind, write
from migctl.cli.output.tables import Column, age_column
from migctl.cli.session import Session
from migctl.objects import AccessRule, AccessRuleSpec, Meta

INSTEAD = "kubectl create rolebinding gives a user a role in a namespace"

app = typer.Typer(cls=HelpGroup, help="Access: which user may do what, and where.", **APP_SETTINGS)
app.callback()(lambda: None)


@app.command("grant")
def grant(
    context: typer.Context,
    user: scope.User,
    role: scope.RoleArgument,
    project: scope.Project = None,
    department: scope.Department = None,
) -> None:
    """Give a user a role: everywhere, in a department or in a project."""
    from migctl.access.giving import rule_name

    session = sessions.of(context)
    access = scope.given(session, role, project, department)
    rule = AccessRule(meta=Meta(name=rule_name(user, access)), spec=AccessRuleSpec(user=user, access=access))

    async def created(control: Control) -> None:
        await control.create(rule)

    scope.on_machine(session, created, INSTEAD)
    print(f"{user} is {scope.told(access)}")


@app.command("revoke")
def revoke(
    context: typer.Context,
    user: scope.User,
    role: scope.RoleArgument,
    project: scope.Project = None,
    department: scope.Department = None,
) -> None:
    """Take a role back from a user, at once."""
    session = sessions.of(context)
    access = scope.given(session, role, project, department)

    async def deleted(control: Control) -> None:
        rules = [rule for rule in (await control.list(AccessRule)).items if rule.spec.user == user]
        found = next((rule for rule in rules if rule.spec.access == access), None)
        if found is None:
            has = "; ".join(scope.told(rule.spec.access) for rule in rules)
            raise not_found(
                f"{user} is not {scope.told(access)}", hint=f"{user} is: {has}" if has else "migctl access list"
            )
        await control.delete(found)

    scope.on_machine(session, deleted, "kubectl delete rolebinding NAME")
    print(f"{user} is no longer {scope.told(access)}")


@app.command("list")
@grouped
def list_rules(context: typer.Context, *, listed: ListOptions) -> None:
    """List which user has which role, and where."""
    session = sessions.of(context)

    async def read(control: Control) -> tuple[AccessRule, ...]:
        return (await control.list(AccessRule)).items

    rules = sorted(scope.on_machine(session, read, "kubectl get rolebindings -A"), key=_order)
    write(rules, _table(session), listed.view(session), empty="no roles; migctl access grant USER ROLE -p PROJECT")


def _order(rule: AccessRule) -> tuple[str, str, str]:
    return rule.spec.user, scope.column(rule.spec.access.scope), rule.spec.access.role


def _table(session: Session) -> TableKind[AccessRule]:
    return TableKind(
        "AccessRule",
        (
            Column("USER", lambda rule: rule.spec.user),
            Column("ROLE", lambda rule: rule.spec.access.role),
            Column("SCOPE", lambda rule: scope.column(rule.spec.access.scope)),
            Column("GRANTED BY", lambda rule: rule.spec.granted_by, drop=1),
            age_column(lambda rule: rule.meta.created, session.system.now, drop=2),
        ),
        lambda rule: rule,
    )
