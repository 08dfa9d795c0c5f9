"""Which role may do what on which kind: the one table, which docs/access.md shows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType

from migctl.objects import (
    AccessRule,
    AccessToken,
    Claim,
    Department,
    Event,
    GpuNode,
    NodePool,
    PlacementPlan,
    Project,
    Role,
    Workload,
)


class Verb(StrEnum):
    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Reach(IntEnum):
    """How far a right goes: to nothing, to what one submitted oneself, or to everything in the scope."""

    NOTHING = 0
    OWN = 1
    ALL = 2


AUDIT = "audit"
"""The audit trail; it is no kind of object."""

Rights = Mapping[Verb, Reach]

READ: Rights = MappingProxyType({Verb.READ: Reach.ALL})
EVERYTHING: Rights = MappingProxyType(dict.fromkeys(Verb, Reach.ALL))
NEITHER_MADE_NOR_REMOVED: Rights = MappingProxyType({Verb.READ: Reach.ALL, Verb.UPDATE: Reach.ALL})
SUBMIT: Rights = MappingProxyType(
    {Verb.READ: Reach.ALL, Verb.CREATE: Reach.OWN, Verb.UPDATE: Reach.OWN, Verb.DELETE: Reach.OWN}
)

CLUSTER_WIDE = frozenset((GpuNode.PLURAL, NodePool.PLURAL))
"""Kinds in no project that everybody with a role somewhere may read: the machines that all share."""

_MEMBERS: Mapping[str, Rights] = MappingProxyType(
    dict.fromkeys((*CLUSTER_WIDE, Claim.PLURAL, Event.PLURAL, Project.PLURAL, Department.PLURAL, Workload.PLURAL), READ)
)
_LEADS: Mapping[str, Rights] = MappingProxyType(
    {
        **_MEMBERS,
        Workload.PLURAL: EVERYTHING,
        AccessRule.PLURAL: EVERYTHING,
        AccessToken.PLURAL: EVERYTHING,
        AUDIT: READ,
    }
)

TABLE: Mapping[Role, Mapping[str, Rights]] = MappingProxyType(
    {
        Role.VIEWER: _MEMBERS,
        Role.RESEARCHER: MappingProxyType({**_MEMBERS, Workload.PLURAL: SUBMIT}),
        Role.PROJECT_ADMIN: MappingProxyType({**_LEADS, Project.PLURAL: NEITHER_MADE_NOR_REMOVED}),
        Role.DEPARTMENT_ADMIN: MappingProxyType({**_LEADS, Project.PLURAL: EVERYTHING}),
        Role.ADMIN: MappingProxyType(
            dict.fromkeys((*_LEADS, PlacementPlan.PLURAL), EVERYTHING) | {Event.PLURAL: READ, AUDIT: READ}
        ),
    }
)
"""What a role may do within its scope, by plural name of the kind; what is not there, it may not."""

SCOPES: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        Role.VIEWER: frozenset(("everything", "department", "project")),
        Role.RESEARCHER: frozenset(("everything", "department", "project")),
        Role.PROJECT_ADMIN: frozenset(("everything", "department", "project")),
        Role.DEPARTMENT_ADMIN: frozenset(("everything", "department")),
        Role.ADMIN: frozenset(("everything",)),
    }
)
"""Where a role can be given."""
