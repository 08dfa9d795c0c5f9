"""What access rules and tokens must be before they are stored, and what they are called.

Who may give them says authorized.py: at most what he has himself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from migctl.access.caller import USER, can_be_given
from migctl.access.identity.secrets import SHA256
from migctl.access.rights import SCOPES
from migctl.backends.protocol import Invalid, NotFound
from migctl.objects import AccessRule, AccessToken, RoleInScope

LONGEST_TTL = timedelta(days=3650)


def check(
    obj: AccessRule | AccessToken, projects: Collection[str], departments: Collection[str], now: datetime
) -> None:
    """Raises Invalid, or NotFound for a project or department that does not exist."""
    if not USER.fullmatch(obj.spec.user):
        raise Invalid(
            f"spec.user: {obj.spec.user[:64]!r} is no user's name: letters, digits and . _ @ : + / = -, at most 253",
            hint="for example ada or ada@example.org",
            field="spec.user",
        )
    _check_access(obj.spec.access, projects, departments)
    if isinstance(obj, AccessToken):
        _check_token(obj, now)
    elif obj.meta.name != (wanted := rule_name(obj.spec.user, obj.spec.access)):
        raise Invalid(f"meta.name: this rule is called {wanted}", hint="so a rule is there once", field="meta.name")


def rule_name(user: str, access: RoleInScope) -> str:
    """What a rule is called: the same rule has the same name, so it is there once."""
    said = "\0".join((user, access.role, access.scope.project, access.scope.department))
    return f"rule-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _check_access(access: RoleInScope, projects: Collection[str], departments: Collection[str]) -> None:
    scope = access.scope
    if scope.project and scope.department:
        raise Invalid(
            "spec.access.scope: a role is in a project or in a department", hint="keep one", field="spec.access.scope"
        )
    if not can_be_given(access):
        raise Invalid(
            f"spec.access.role: the role {access.role} is given in: {', '.join(sorted(SCOPES[access.role]))}",
            hint="docs/access.md says what each role may do",
            field="spec.access.role",
        )
    for what, name, known in (("project", scope.project, projects), ("department", scope.department, departments)):
        if name and name not in known:
            raise NotFound(
                f"spec.access.scope.{what}: no {what} is called {name!r}", hint=f"migctl {what} list shows them"
            )


def _check_token(token: AccessToken, now: datetime) -> None:
    if not SHA256.fullmatch(token.spec.secret_sha256):
        raise Invalid(
            "spec.secretSha256: the SHA-256 of the secret is needed, in 64 hexadecimal digits",
            hint="migctl token create makes a secret and sends this of it",
            field="spec.secretSha256",
        )
    expires = token.spec.expires
    if expires is not None and (expires.tzinfo is None or not now < expires <= now + LONGEST_TTL):
        raise Invalid(
            "spec.expires: must be later than now, and at most ten years later",
            hint="for example --ttl 30d",
            field="spec.expires",
        )
