"""What `kubectl explain` says about the fields of the custom resources, by kind and dotted path."""

from __future__ import annotations

from collections.abc import Mapping

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "Project": {
        "": "A queue of workloads with its share of the GPUs. It makes and owns the namespace of its name.",
        "spec": "What an admin grants.",
        "spec.quota": "GPUs that are the project's own and are never reclaimed from it; -1: unlimited.",
        "spec.limit": "GPUs it never exceeds; -1: no limit.",
        "spec.overQuotaWeight": "Its part of what others leave unused: none 0, low 1, medium 2, high 3.",
        "spec.priority": "Higher takes the surplus first.",
        "spec.department": "The queue of projects it belongs to.",
        "spec.minRuntimeS": "Seconds that its preemptible work runs before it may be preempted.",
        "status": "What it uses now, in GPUs; a part of a GPU counts as its portion.",
        "status.allocated": "GPUs its workloads hold.",
        "status.nonPreemptible": "The part of them that may not be preempted.",
        "status.requested": "GPUs held and waited for.",
        "status.fairShare": "GPUs it may hold before others reclaim from it.",
    },
    "Department": {
        "": "A queue of projects.",
        "spec": "What an admin grants to its projects together; each field means what it means for a project.",
        "spec.quota": "GPUs of its projects together; without it the department only groups them.",
        "status": "What its projects use now, in GPUs.",
    },
    "NodePool": {
        "": "Nodes that quotas and requests can name together.",
        "spec": "Which nodes are in it, and how work is spread over them.",
        "spec.placement": "binpack fills one node after another, spread takes the emptiest first.",
        "spec.memoryRule": "Of two MIG profiles with that memory: the one with compute in proportion, or with least.",
        "spec.labelKey": "Nodes with this label are in the pool; empty: those whose GpuNode names it.",
        "spec.labelValue": "The value that the label has.",
    },
    "GpuNode": {
        "": "A node with GPUs, as its agent reports it.",
        "spec": "What an admin decides about the node.",
        "spec.pool": "The node pool it belongs to, unless one has a label that the Node has.",
        "spec.cordoned": "Nothing new is placed on its GPUs; what runs goes on.",
        "spec.dynamicMig": "MIG mode of its GPUs; null: as it was found.",
        "spec.gpuDynamicMig": "By UUID, MIG mode of GPUs that do not follow the node's.",
        "status": "The agent's live report.",
        "status.dynamicMig": "What became of spec.dynamicMig.",
        "status.gpuDynamicMig": "What became of spec.gpuDynamicMig, by UUID.",
        "status.report": "GPUs, their layouts and who holds what.",
        "status.report.generation": "Grows with every change of layout or holders.",
        "status.report.allocations": "What is prepared and not yet unprepared, by claim (uid) and pod.",
        "status.report.models": "Profile tables as the live driver gives them, by model.",
        "status.report.gpus[].fenced": "Why nothing new may be placed on this GPU; empty where it may.",
        "status.report.gpus[].foreignMib": "MiB that processes of no claim hold; it is planned around.",
        "status.report.gpus[].instances[].state": "busy: a claim holds it; idle: ours, unheld; "
        "foreign: made by somebody else; quarantined: in use, but by no process.",
        "status.reported": "When the report was made.",
        "status.ready": "Whether the agent takes allocations, and is heard of.",
        "status.message": "Why it does not.",
    },
    "PlacementPlan": {
        "": "A decision as it was carried out: steps, what became of each request, and the certificate.",
        "spec": "The decision.",
        "spec.steps": "Evictions, destroyed and created instances, and assignments, each after what it depends on.",
        "spec.outcomes": "What the plan means for each claim that waited.",
        "spec.moves": "Where each pod that it moves, stops or places was, and where it is then.",
        "spec.proposed": "Saved, and carried out only when somebody labels it migctl.dev/apply=requested.",
        "spec.method": "How it was found: online, optimal, bounded or greedy.",
        "spec.value": "Admitted weight, in GPUs.",
        "spec.bound": "What no plan can exceed.",
        "spec.gap": "Distance to the bound, as a fraction of it.",
        "status": "How far it was carried out.",
        "status.phase": "Applied, PartlyApplied, Waiting (for evictions) or Rejected.",
        "status.message": "Why it was not carried out, or not all of it.",
    },
}


def of(kind: str, path: str) -> str:
    """The text of a field, "" where its name says it all."""
    return _TEXTS.get(kind, {}).get(path, "")


def paths(kind: str) -> frozenset[str]:
    """The fields of a kind that have a text."""
    return frozenset(_TEXTS[kind])
