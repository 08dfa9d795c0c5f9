"""The objects a control plane stores: what users and controllers read and write.

They travel as JSON with camelCase keys and RFC 3339 times, under apiVersion migctl.dev/v1alpha1.
Every object is immutable; a change is a patch through the control plane.

record.py     what all of them have: encoding, identity, lifetime
access.py     access rules and tokens, of one machine
queues.py     projects, departments, node pools
workloads.py  workloads, and the claims of their pods
nodes.py      nodes with GPUs
plans.py      decisions and proposals
verdicts.py   what would become of a workload that is not sent yet
events.py     what happened
kinds.py      all kinds by name, and their JSON
"""

from migctl.objects.access import (
    AccessRule,
    AccessRuleSpec,
    AccessScope,
    AccessToken,
    AccessTokenSpec,
    AccessTokenStatus,
    Role,
    RoleInScope,
)
from migctl.objects.events import Event, EventSpec
from migctl.objects.kinds import KINDS, Object, T, decode, encode, singular, to_builtins
from migctl.objects.nodes import DynamicMig, GpuNode, NodeSpec, NodeStatus
from migctl.objects.plans import (
    APPLIED,
    APPLY_LABEL,
    PARTLY_APPLIED,
    PROPOSED,
    REJECTED,
    REQUESTED,
    PlacementPlan,
    PlanMove,
    PlanOmissions,
    PlanOutcome,
    PlanPlace,
    PlanShare,
    PlanSpec,
    PlanStatus,
    PlanStep,
    StepState,
    newest_first,
)
from migctl.objects.queues import (
    Department,
    DepartmentSpec,
    NodePool,
    NodePoolSpec,
    PoolQuota,
    PoolUsage,
    Project,
    ProjectSpec,
    ProjectStatus,
    QueueQuota,
)
from migctl.objects.record import Meta, Record
from migctl.objects.verdicts import (
    Prospect,
    VerdictBlocker,
    VerdictEviction,
    VerdictPlace,
    VerdictQueue,
    VerdictReason,
    VerdictShare,
    WorkloadVerdict,
)
from migctl.objects.workloads import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    GangSpec,
    GpuRequest,
    Phase,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
    WorkloadType,
)
from nodeagent.contract.wire import API_VERSION

__all__ = [
    "API_VERSION",
    "APPLIED",
    "APPLY_LABEL",
    "KINDS",
    "PARTLY_APPLIED",
    "PROPOSED",
    "REJECTED",
    "REQUESTED",
    "AccessRule",
    "AccessRuleSpec",
    "AccessScope",
    "AccessToken",
    "AccessTokenSpec",
    "AccessTokenStatus",
    "Claim",
    "ClaimSpec",
    "ClaimStatus",
    "Department",
    "DepartmentSpec",
    "DynamicMig",
    "Event",
    "EventSpec",
    "GangSpec",
    "GpuNode",
    "GpuRequest",
    "Meta",
    "NodePool",
    "NodePoolSpec",
    "NodeSpec",
    "NodeStatus",
    "Object",
    "Phase",
    "PlacementPlan",
    "PlanMove",
    "PlanOmissions",
    "PlanOutcome",
    "PlanPlace",
    "PlanShare",
    "PlanSpec",
    "PlanStatus",
    "PlanStep",
    "PoolQuota",
    "PoolUsage",
    "Project",
    "ProjectSpec",
    "ProjectStatus",
    "Prospect",
    "QueueQuota",
    "Record",
    "Role",
    "RoleInScope",
    "StepState",
    "T",
    "VerdictBlocker",
    "VerdictEviction",
    "VerdictPlace",
    "VerdictQueue",
    "VerdictReason",
    "VerdictShare",
    "Workload",
    "WorkloadSpec",
    "WorkloadStatus",
    "WorkloadType",
    "WorkloadVerdict",
    "decode",
    "encode",
    "newest_first",
    "singular",
    "to_builtins",
]
