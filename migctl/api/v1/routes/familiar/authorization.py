"""Roles of users by the paths and numbers that one client library knows them by; routes/access.py has the rest."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Query

from migctl.api.v1.routes.access import create_rule, delete_rule, list_rules, scope_of
from migctl.api.v1.routes.paging import Limit, Offset, Search
from migctl.api.v1.routes.submission import CONFLICT, NOT_FOUND
from migctl.api.v1.schemas.access import (
    AccessRuleOut,
    AccessRuleRequest,
    NumberedRole,
    NumberedRule,
    NumberedRules,
    RulesOfCaller,
)
from migctl.api.v1.schemas.workload_specs import Text
from migctl.api.v1.schemas.workloads import CountOut
from migctl.api.v1.service import CallersService, Door
from migctl.api.v1.workloads.details import part
from migctl.backends.protocol import NotFound
from migctl.objects import Role

routes = APIRouter(prefix="/authorization", tags=["access"], responses={**NOT_FOUND, **CONFLICT})

NUMBERS = {role: number for number, role in enumerate(Role, 1)}


@routes.get("/roles")
async def list_roles(door: Door) -> list[NumberedRole]:
    """The roles that can be given."""
    return [NumberedRole(id=number, name=role, description="docs/access.md") for role, number in NUMBERS.items()]


@routes.get("/roles/{role_id}")
async def get_role(door: Door, role_id: str) -> NumberedRole:
    """A role, by its number or name."""
    for role, number in NUMBERS.items():
        if role_id in (role, str(number)):
            return NumberedRole(id=number, name=role, description="docs/access.md")
    raise NotFound(f"there is no role {role_id[:64]!r}", hint="GET /api/v1/authorization/roles")


@routes.get("/access-rules")
async def list_numbered_rules(
    door: Door,
    subject_id: str = Query(default="", alias="subjectIdFilter"),
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = 50,
) -> NumberedRules:
    """Roles of users and applications that the caller may see."""
    return _page(await _rules(door, subject_id, search), offset, limit)


@routes.get("/access-rules/count")
async def count_numbered_rules(door: Door, search: Search = "") -> CountOut:
    """How many roles of users the caller may see."""
    return CountOut(count=len(await _rules(door, "", search)))


@routes.post("/access-rules", status_code=201)
async def create_numbered_rule(door: Door, sent: AccessRuleRequest) -> NumberedRule:
    """Give a role."""
    return _numbered(await create_rule(sent, door))


@routes.get("/access-rules/{rule_id}")
async def get_numbered_rule(door: Door, rule_id: str) -> NumberedRule:
    """A role of a user, by its id."""
    for rule in await _rules(door):
        if rule.id == rule_id:
            return rule
    raise NotFound(f"there is no access rule {rule_id[:64]!r}", hint="GET /api/v1/authorization/access-rules")


@routes.delete("/access-rules/{rule_id}", status_code=204)
async def delete_numbered_rule(door: Door, rule_id: str) -> None:
    """Take a role back, at once."""
    await delete_rule(rule_id, door)


@routes.get("/me/access-rules")
async def list_own_rules(door: Door, search: Search = "", offset: Offset = 0, limit: Limit = 50) -> RulesOfCaller:
    """The roles of the caller."""
    return RulesOfCaller(access_rules=_page(_own(door, search), offset, limit))


@routes.get("/me/access-rules/count")
async def count_own_rules(door: Door, search: Search = "") -> CountOut:
    """How many roles the caller has."""
    return CountOut(count=len(_own(door, search)))


def _own(door: CallersService, search: Text) -> list[NumberedRule]:
    own = []
    for number, access in enumerate(door.caller.access, 1):
        kind, scope_id, scope_name = scope_of(door, access)
        rule = NumberedRule(
            id=str(number),
            subject_id=door.caller.user,
            role_id=NUMBERS[access.role],
            role_name=access.role,
            scope_type=kind,
            scope_id=scope_id,
            scope_name=scope_name,
            created_by="",
            created_at=None,
        )
        own.append(rule)
    return [rule for rule in own if _has(rule, search)]


async def _rules(door: CallersService, subject_id: str = "", search: str = "") -> list[NumberedRule]:
    every = (await list_rules(door, subject_id, 0, MOST)).access_rules
    return [rule for rule in map(_numbered, every) if _has(rule, search)]


def _numbered(rule: AccessRuleOut) -> NumberedRule:
    told = rule.model_dump(exclude={"role_id"})
    return NumberedRule(**told, role_id=NUMBERS[Role(rule.role_id)])


def _has(rule: NumberedRule, search: str) -> bool:
    return search.casefold() in f"{rule.subject_id} {rule.role_name} {rule.scope_name}".casefold()


def _page(rules: Sequence[NumberedRule], offset: int, limit: int) -> NumberedRules:
    page, _ = part(rules, offset, limit)
    return NumberedRules(total_records=len(rules), display_records=len(page), access_rules=page)


MOST = 2**31
"""Rules of a whole cluster at once."""
