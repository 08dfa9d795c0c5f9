"""Paths that clients of another product know and that have nothing behind them here: 501, and why.

It is asked only where no route answers, so a route that is added later wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from migctl.backends.protocol import ControlPlaneError

OTHER_PREFIXES = ("/api/v2", "/v1/k8s")
"""Where such paths are outside /api/v1."""


class NotOffered(ControlPlaneError):
    """There is no such thing here. The answer is 501."""


_ACCOUNTS = ("there are no user accounts: people sign in as the machine or the cluster knows them", "GET /api/v1/me")
_PROGRAMS = (
    "a program has a token with a role of its own, not an account that gets roles later",
    'POST /api/v1/access-keys {"name", "role", "scopeType", "scopeId"}',
)
_ASSETS = ("assets are not kept", "give the values themselves in the spec of a workload")
_SUBMIT = "POST /api/v1/workloads/trainings, workspaces, inferences or distributed"
_POLICY = ("there are no policies: a quota says what a project may use", "GET /api/v1/org-unit/projects")
_PAST = ("it has no figures of the past", "GET /api/v1/org-unit/projects has what is used now")
_CLUSTERS = ("this API serves one cluster, which it neither makes nor removes", "GET /api/v1/clusters")
_CLI = ("the command line is installed with migctl", "pip install migctl")
_STORAGE = ("this API mounts nothing", "")
_PRIORITIES = ("a workload has the priority of its type", "docs/migrate.md")
_REVISIONS = ("an inference has no revisions", "GET /api/v1/workloads/ID")
_TOKEN = ("tokens have one path", "POST /api/v1/token")
_NOTICES = ("nobody is notified", "GET /api/v1/events")

TABLE: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "/api/v1/administration/*": _PROGRAMS,
        "/api/v1/ai-applications/*": ("there are no applications of several workloads", "GET /api/v1/workloads"),
        "/api/v1/apps/*": _PROGRAMS,
        "/api/v1/asset/*": _ASSETS,
        "/api/v1/audit/log/*": ("the audit trail has another path", "GET /api/v1/audit"),
        "/api/v1/authorization/access-rules/batch-create": (
            "access rules are created one by one",
            "POST /api/v1/authorization/access-rules",
        ),
        "/api/v1/authorization/access-rules/batch": (
            "access rules are deleted one by one",
            "DELETE /api/v1/authorization/access-rules/ID",
        ),
        "/api/v1/authorization/*": ("roles are what docs/access.md says, and the same for all", "GET /api/v1/me"),
        "/api/v1/access-keys/{}/secret": ("a secret is never made anew", "delete the token and create another one"),
        "/api/v1/cli/*": _CLI,
        "/api/v1/cli-exposer/*": _CLI,
        "/api/v1/clusters": _CLUSTERS,
        "/api/v1/clusters/{}": _CLUSTERS,
        "/api/v1/clusters/{}/cluster-install-info": ("a cluster is installed with its chart", "docs/kubernetes.md"),
        "/api/v1/clusters/{}/nodepools/{}/metrics": _PAST,
        "/api/v1/clusters/{}/metrics": _PAST,
        "/api/v1/datavolumes/*": _ASSETS,
        "/api/v1/idps/*": ("identity providers are set up by the one who runs migctl", "docs/access.md"),
        "/api/v1/logo/*": ("there is no logo", ""),
        "/api/v1/me/password": _ACCOUNTS,
        "/api/v1/network-topologies/*": ("topology is read from labels of nodes", "GET /api/v1/nodes"),
        "/api/v1/nodes/telemetry": ("there is no telemetry by that path", "GET /api/v1/nodes has free and used GPUs"),
        "/api/v1/nodes/{}/metrics": _PAST,
        "/api/v1/notification-channels/*": _NOTICES,
        "/api/v1/notification-state/*": _NOTICES,
        "/api/v1/notification-types/*": _NOTICES,
        "/api/v1/org-unit/departments/telemetry": _PAST,
        "/api/v1/org-unit/departments/{}/metrics": _PAST,
        "/api/v1/org-unit/priorities": _PRIORITIES,
        "/api/v1/org-unit/projects/telemetry": _PAST,
        "/api/v1/org-unit/projects/{}/metrics": _PAST,
        "/api/v1/org-unit/reports/*": ("reports are not kept", "GET /api/v1/org-unit/projects has what is used now"),
        "/api/v1/security/*": ("settings are made by the one who runs migctl", "docs/access.md"),
        "/api/v1/service-accounts/*": _PROGRAMS,
        "/api/v1/storage-class-configuration/*": _STORAGE,
        "/api/v1/storage-classes/*": _STORAGE,
        "/api/v1/subscriptions/*": _NOTICES,
        "/api/v1/user-applications/*": _PROGRAMS,
        "/api/v1/users/*": _ACCOUNTS,
        "/api/v1/validate-notification-channel": _NOTICES,
        "/api/v1/workload-categories/*": ("there are no categories of workloads", "their types are the API's own"),
        "/api/v1/workload-priorities": _PRIORITIES,
        "/api/v1/workload-templates/*": ("templates are not kept", _SUBMIT),
        "/api/v1/workload-types/*": ("there are four types of workloads", _SUBMIT),
        "/api/v1/workloads/distributed-inferences/*": ("an inference is one pod per replica", _SUBMIT),
        "/api/v1/workloads/inferences/revisions/*": _REVISIONS,
        "/api/v1/workloads/inferences/{}/pods/{}/metrics": _PAST,
        "/api/v1/workloads/inferences/{}/revisions/*": _REVISIONS,
        "/api/v1/workloads/telemetry": ("there is no telemetry by that path", "GET /api/v1/workloads/count"),
        "/api/v1/workloads/{}/pods/{}/metrics": _PAST,
        "/api/v2/policy/*": _POLICY,
        "/api/v2/storage-classes/*": _STORAGE,
        "/api/v2/token": _TOKEN,
        "/api/v2/*": ("there is version 1 of the API only", _SUBMIT),
        "/v1/k8s/auth/*": _TOKEN,
        "/v1/k8s/*": ("this older API is not served", "/api/v1 has clusters, org-unit/projects, nodes and node-pools"),
    }
)
"""By path: what there is not, and what there is instead. `{}` is one segment; `/*` the path itself and all below it."""


def _pattern(path: str) -> str:
    parts = ("[^/]+" if part == "{}" else re.escape(part) for part in path.removesuffix("/*").split("/"))
    return "/".join(parts) + ("(?:/.*)?" if path.endswith("/*") else "")


_PATTERNS = tuple((re.compile(_pattern(path), re.DOTALL), told) for path, told in TABLE.items())


def not_offered(path: str, *, named: bool = False) -> NotOffered | None:
    """Why there is nothing at a path; None: it is no path that anybody knows.

    named  only where the table has this very path: a route with an id there looked for a thing of that name
    """
    whole = path if path.startswith(("/api/v1/", *OTHER_PREFIXES)) else f"/api/v1{path}"
    if named:
        return NotOffered(*TABLE[whole]) if whole in TABLE else None
    for pattern, (what, instead) in _PATTERNS:
        if pattern.fullmatch(whole.rstrip("/")):
            return NotOffered(what, instead)
    return None
