"""Who may do what on one machine: access rules of users, and tokens of programs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from migctl.objects.record import Meta, Record


class Role(StrEnum):
    """What a user may do within a scope; migctl/access/rights.py says what."""

    ADMIN = "admin"
    DEPARTMENT_ADMIN = "department-admin"
    PROJECT_ADMIN = "project-admin"
    RESEARCHER = "researcher"
    VIEWER = "viewer"


class AccessScope(Record, frozen=True):
    """Where a role counts: in one project, in all projects of one department, or, with neither, everywhere."""

    project: str = ""
    department: str = ""


class RoleInScope(Record, frozen=True):
    """A role and where it counts."""

    role: Role
    scope: AccessScope = AccessScope()


class AccessRuleSpec(Record, frozen=True):
    """What a user has, and who gave it."""

    user: str
    access: RoleInScope
    granted_by: str = ""


class AccessRule(Record, frozen=True, tag_field="kind", tag="AccessRule"):
    """A role of one user within one scope."""

    PLURAL: ClassVar[str] = "accessrules"
    meta: Meta
    spec: AccessRuleSpec


class AccessTokenSpec(Record, frozen=True):
    """What the bearer of a secret may do. The secret itself is stored nowhere.

    user           whose the workloads are that are submitted with it
    secret_sha256  SHA-256 of the secret, hexadecimal; a secret has 256 random bits, so nothing slower is needed
    expires        None: when it is deleted
    """

    user: str
    access: RoleInScope
    secret_sha256: str
    expires: datetime | None = None
    created_by: str = ""


class AccessTokenStatus(Record, frozen=True):
    """When the token was used for the last time, to the minute."""

    last_used: datetime | None = None


class AccessToken(Record, frozen=True, tag_field="kind", tag="AccessToken"):
    """A program's token. Deleting it ends what was signed in with it, at once."""

    PLURAL: ClassVar[str] = "accesstokens"
    meta: Meta
    spec: AccessTokenSpec
    status: AccessTokenStatus = AccessTokenStatus()
