"""Tokens of programs, roles of users, login links of browsers."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from fastapi import APIRouter, Query

from migctl.access.caller import APP, OWNER
from migctl.access.giving import rule_name
from migctl.access.identity.secrets import digest, new_secret
from migctl.access.identity.sessions import LINK_LIFETIME
from migctl.api.v1.errors import ErrorBody
from migctl.api.v1.schemas.access import (
    AccessKey,
    AccessKeyRequest,
    AccessKeys,
    AccessRuleOut,
    AccessRuleRequest,
    AccessRules,
    LoginLink,
    LoginLinkRequest,
    NewAccessKey,
)
from migctl.api.v1.service import CallersService, Door
from migctl.backends.protocol import Forbidden, Invalid, NotFound
from migctl.objects import (
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    AccessToken,
    AccessTokenSpec,
    Department,
    Meta,
    Project,
    Role,
    RoleInScope,
)

routes = APIRouter(
    tags=["access"],
    responses={
        404: {"model": ErrorBody, "description": "There is none, or none that the caller may see."},
        409: {"model": ErrorBody, "description": "It exists already."},
    },
)

SYSTEM, DEPARTMENT, PROJECT = "system", "department", "project"
Queue = TypeVar("Queue", Project, Department)
Given = TypeVar("Given", AccessRule, AccessToken)


@routes.get("/access-keys")
async def list_keys(door: Door) -> AccessKeys:
    """Tokens of programs, without their secrets."""
    tokens = (await door.control.list(AccessToken)).items
    return AccessKeys(access_keys=[_key(door, token) for token in sorted(tokens, key=lambda one: one.meta.name)])


@routes.post("/access-keys", status_code=201)
async def create_key(asked: AccessKeyRequest, door: Door) -> NewAccessKey:
    """Make a token. Its secret is in this answer and nowhere else."""
    secret, now = new_secret(asked.name), door.service.clock()
    spec = AccessTokenSpec(
        user=asked.user or door.caller.user,
        access=_access(door, asked.role, asked.scope_type, asked.scope_id) if asked.role else _own(door),
        secret_sha256=digest(secret),
        expires=None if asked.ttl_seconds is None else now + _ttl(asked.ttl_seconds),
        created_by=door.caller.user,
    )
    created = await door.control.create(AccessToken(meta=Meta(name=asked.name), spec=spec))
    return NewAccessKey(**_key(door, created).model_dump(), client_secret=secret)


@routes.get("/access-keys/{key_id}")
async def get_key(key_id: str, door: Door) -> AccessKey:
    """A token, by its id or name."""
    return _key(door, await _found(door, AccessToken, key_id))


@routes.delete("/access-keys/{key_id}", status_code=204)
async def delete_key(key_id: str, door: Door) -> None:
    """End a token at once, and all that was signed in with it."""
    await door.control.delete(await _found(door, AccessToken, key_id))


@routes.get("/access-rules")
async def list_rules(
    door: Door,
    subject_id: str = Query(default="", alias="subjectId"),
    offset: int = Query(default=0, ge=0, le=2**31),
    limit: int = Query(default=500, ge=1, le=500),
) -> AccessRules:
    """Roles of users and applications."""
    found = (await door.control.list(AccessRule)).items
    rules = sorted((rule for rule in found if not subject_id or _subject(rule)[0] == subject_id), key=_order)
    more = offset + limit if len(rules) > offset + limit else None
    return AccessRules(access_rules=[_rule(door, rule) for rule in rules[offset : offset + limit]], next=more)


@routes.post("/access-rules", status_code=201)
async def create_rule(asked: AccessRuleRequest, door: Door) -> AccessRuleOut:
    """Give a role."""
    if asked.subject_type not in ("user", "app"):
        raise Invalid("subjectType: user or app", field="subjectType")
    access = _access(door, _role_name(asked.role_id) or asked.role, asked.scope_type, asked.scope_id)
    user = APP + asked.subject_id if asked.subject_type == "app" else asked.subject_id
    rule = AccessRule(
        meta=Meta(name=rule_name(user, access)),
        spec=AccessRuleSpec(user=user, access=access, granted_by=door.caller.user),
    )
    return _rule(door, await door.control.create(rule))


@routes.delete("/access-rules/{rule_id}", status_code=204)
async def delete_rule(rule_id: str, door: Door) -> None:
    """Take a role back, at once."""
    await door.control.delete(await _found(door, AccessRule, rule_id))


@routes.post("/login-links", status_code=201)
async def create_link(asked: LoginLinkRequest, door: Door) -> LoginLink:
    """Make a link that signs a browser in once."""
    if not set(OWNER) <= set(door.caller.access) or door.caller.token:
        raise Forbidden("a login link is made by an admin at the machine", hint="migctl web, on that machine")
    if door.service.identity.link is None:
        raise Invalid("migctl listens on no TCP port", hint="migctl up --listen 127.0.0.1:8443")
    other = asked.user and asked.user != door.caller.user
    url = door.service.identity.link(asked.user or door.caller.user, () if other else door.caller.access)
    return LoginLink(url=url, expires_in=int(LINK_LIFETIME.total_seconds()))


@routes.post("/signing-keys/rotate", status_code=204)
async def rotate_keys(door: Door) -> None:
    """Sign with a new key from now on; what the old one signed is valid for at most a quarter of an hour."""
    if not set(OWNER) <= set(door.caller.access):
        raise Forbidden("signing keys are an admin's")
    if door.service.identity.rotate is None:
        raise Invalid("nothing is signed here")
    door.service.identity.rotate()
    door.record("rotate", "signingkeys")


async def _found(door: CallersService, kind: type[Given], key: str) -> Given:
    """By id or by name, among those that the caller may see."""
    for one in (await door.control.list(kind)).items:
        if key in (one.meta.uid, one.meta.name):
            return one
    raise NotFound(f"there is no {kind.PLURAL.removesuffix('s')} {key[:64]!r}")


def _own(door: CallersService) -> RoleInScope:
    """The one role that the caller has. Raises Invalid where he has none, or several."""
    if len(door.caller.access) != 1:
        raise Invalid(
            f"role: you have {len(door.caller.access)} roles, so say which one it has: {', '.join(Role)}",
            hint="role, and scopeType and scopeId for one that counts in a project or department",
            field="role",
        )
    return door.caller.access[0]


def _role_name(sent: str | int) -> str:
    """The name of a role that is given by its number, as authorization/roles tells it, or by its name."""
    if isinstance(sent, int):
        return list(Role)[sent - 1] if 0 < sent <= len(Role) else f"{sent}"
    return sent


def _access(door: CallersService, role: str, scope_type: str, scope_id: str) -> RoleInScope:
    try:
        wanted = Role(role.lower())
    except ValueError:
        raise Invalid(f"role: one of {', '.join(Role)}", field="role") from None
    match scope_type.lower():
        case "system" | "tenant" | "cluster":
            return RoleInScope(role=wanted)
        case "project":
            return RoleInScope(role=wanted, scope=AccessScope(project=_name(door, Project, scope_id)))
        case "department":
            return RoleInScope(role=wanted, scope=AccessScope(department=_name(door, Department, scope_id)))
    raise Invalid(f"scopeType: one of {SYSTEM}, {DEPARTMENT}, {PROJECT}", field="scopeType")


def _name(door: CallersService, kind: type[Queue], key: str) -> str:
    """The name of a queue that is given by its name or its id."""
    if not key:
        raise Invalid("scopeId: is empty", field="scopeId")
    queues = door.seen.all(kind)
    return next((one.meta.name for one in queues if one.meta.uid == key), key)


def scope_of(door: CallersService, access: RoleInScope) -> tuple[str, str, str]:
    """Type, id and name of where a role counts."""
    scope = access.scope
    if scope.project:
        found: Project | Department | None = door.seen.get(Project, scope.project)
        return PROJECT, found.meta.uid if found else scope.project, scope.project
    if scope.department:
        found = door.seen.get(Department, scope.department)
        return DEPARTMENT, found.meta.uid if found else scope.department, scope.department
    return SYSTEM, door.service.cluster.uid, door.service.cluster.name


def _key(door: CallersService, token: AccessToken) -> AccessKey:
    kind, scope_id, _ = scope_of(door, token.spec.access)
    return AccessKey(
        id=token.meta.uid,
        name=token.meta.name,
        client_id=token.meta.name,
        user=token.spec.user,
        role=token.spec.access.role,
        scope_type=kind,
        scope_id=scope_id,
        created_by=token.spec.created_by,
        created_at=token.meta.created,
        expires_at=token.spec.expires,
        last_used_at=token.status.last_used,
        last_login=token.status.last_used,
    )


def _rule(door: CallersService, rule: AccessRule) -> AccessRuleOut:
    kind, scope_id, scope_name = scope_of(door, rule.spec.access)
    subject, subject_type = _subject(rule)
    return AccessRuleOut(
        id=rule.meta.uid,
        subject_id=subject,
        subject_type=subject_type,
        role_id=rule.spec.access.role,
        role_name=rule.spec.access.role,
        scope_type=kind,
        scope_id=scope_id,
        scope_name=scope_name,
        created_by=rule.spec.granted_by,
        created_at=rule.meta.created,
    )


def _subject(rule: AccessRule) -> tuple[str, str]:
    user = rule.spec.user
    return (user.removeprefix(APP), "app") if user.startswith(APP) else (user, "user")


def _order(rule: AccessRule) -> tuple[str, str, str]:
    return rule.spec.user, rule.spec.access.scope.project, rule.meta.name


def _ttl(seconds: int) -> timedelta:
    return timedelta(seconds=min(seconds, 2**32))
