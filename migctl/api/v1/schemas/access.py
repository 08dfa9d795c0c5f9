"""Tokens of programs, roles of users, and what was done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.support import SentBody


class TokenRequest(Schema):
    """A program's name and secret; the names of its fields are read without regard to case."""

    model_config = ConfigDict(extra="ignore")

    grant_type: str = Field(default="", description="app_token or client_credentials.")
    app_id: str = Field(default="", description="The token's name, with app_token.")
    app_secret: str = Field(default="", description="Its secret, with app_token.")
    client_id: str = Field(default="", description="The token's name, with client_credentials.")
    client_secret: str = Field(default="", description="Its secret, with client_credentials.")

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        names = {name.replace("_", ""): name for name in cls.model_fields}
        return {names.get(str(key).lower().replace("_", ""), key): value or "" for key, value in given.items()}


class TokenAnswer(Schema):
    """A token of a quarter of an hour."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int = Field(description="Seconds.")
    scope: str = ""


class AccessKeyRequest(SentBody):
    """A token for a program."""

    name: str
    role: str = Field(
        default="",
        description="admin, department-admin, project-admin, researcher or viewer; empty: the one role "
        "that the caller has, where it counts.",
    )
    scope_type: str = Field(default="system", description="system, department or project.")
    scope_id: str = Field(default="", description="The name or id of the department or project.")
    user: str = Field(default="", description="Whose its workloads are; empty: the caller's.")
    ttl_seconds: int | None = Field(default=None, gt=0, description="How long it is valid; null: until it is deleted.")


class AccessKey(Schema):
    """A token of a program, without its secret."""

    id: str
    name: str
    client_id: str = Field(description="What it is called at POST /api/v1/token.")
    user: str
    role: str
    scope_type: str
    scope_id: str
    created_by: str
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    last_login: datetime | None = Field(description="The same as lastUsedAt.")


class NewAccessKey(AccessKey):
    """The same with the secret, which is shown this once."""

    client_secret: str


class AccessKeys(Schema):
    """Tokens that the caller may see."""

    access_keys: list[AccessKey]


class AccessRuleRequest(SentBody):
    """A role for a user."""

    subject_id: str = Field(description="The user, or the name of an application.")
    subject_type: str = Field(default="user", description="user or app.")
    role_id: str | int = Field(default="", description="The role, by its name or its number in authorization/roles.")
    role: str = Field(default="", description="The same.")
    scope_type: str = Field(default="system", description="system, department or project.")
    scope_id: str = Field(default="", description="The name or id of the department or project.")


class GivenRole(Schema):
    """What is told of a role of a user, beside the role's id."""

    id: str
    subject_id: str
    subject_type: str = "user"
    role_name: str
    scope_type: str
    scope_id: str
    scope_name: str
    created_by: str
    created_at: datetime | None


class AccessRuleOut(GivenRole):
    """A role of a user."""

    role_id: str = Field(description="The role's name.")


class AccessRules(Schema):
    """Roles that the caller may see."""

    access_rules: list[AccessRuleOut]
    next: int | None = None


class NumberedRule(GivenRole):
    """A role of a user."""

    role_id: int


class NumberedRules(Schema):
    """Roles that the caller may see."""

    total_records: int
    display_records: int
    access_rules: list[NumberedRule]


class NumberedRole(Schema):
    """A role that can be given."""

    id: int
    name: str
    description: str
    enabled: bool = True


class RulesOfCaller(Schema):
    """Roles of the caller."""

    access_rules: NumberedRules


class AuditEntryOut(Schema):
    """A write, or an attempt to sign in."""

    time: datetime
    user: str
    through: str
    origin: str
    verb: str
    kind: str
    project: str
    department: str
    name: str
    uid: str
    status: int
    message: str
    request: str


class AuditEntries(Schema):
    """The newest first."""

    entries: list[AuditEntryOut]


class LoginLinkRequest(SentBody):
    """For whom a link is."""

    user: str = Field(default="", description="Empty: the caller himself.")


class LoginLink(Schema):
    """A link that signs a browser in once, within two minutes."""

    url: str
    expires_in: int = Field(description="Seconds.")
