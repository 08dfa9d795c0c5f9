"""Who the caller is, and which clusters there are."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema


class RoleOut(Schema):
    """A role and where it counts."""

    role: str
    project: str = Field(default="", description="Empty: it is not about one project.")
    department: str = Field(default="", description="Empty: it is not about one department.")


class Me(Schema):
    """The caller."""

    user: str
    through: str = Field(description="How he signed in.")
    roles: list[RoleOut]
    expires_at: datetime | None = Field(default=None, description="When he has to sign in again.")


class Cluster(Schema):
    """A cluster that workloads run on."""

    uuid: str
    name: str
    state: str = "Connected"
