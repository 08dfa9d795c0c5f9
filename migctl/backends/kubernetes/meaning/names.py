"""Annotations, labels and object names of migctl on Kubernetes, and the annotations that request GPUs."""

from __future__ import annotations

import re

from nodeagent.contract.wire import DRIVER

GATE = "migctl.dev/placement"
"""Holds a pod back until its claim is allocated."""

CLAIM = "migctl-gpu"
"""Of the pod's claim, and of the ResourceClaimTemplate of pods with one container that uses GPUs."""
CONTAINERS_TEMPLATE = "migctl-gpu-containers"
"""The ResourceClaimTemplate of pods with several such containers. A project has both."""

DEVICE_CLASS = DRIVER
PROTECTION = "resource.kubernetes.io/delete-protection"
"""Kubernetes clears an allocation after its last user only where this finalizer stands."""

PROJECT_LABEL = "migctl.dev/project"
TYPE_LABEL = "migctl.dev/type"
WORKLOAD_LABEL = "migctl.dev/workload"
USER_LABEL = "user"


def user_label(user: str) -> str:
    """A user's name, as far as a label can hold it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", user)[:63].strip("-_.")


INDEX_LABELS = ("batch.kubernetes.io/job-completion-index", "apps.kubernetes.io/pod-index")
"""Where Kubernetes writes a pod's index."""

FRACTION = "gpu-fraction"
DEVICES = "gpu-fraction-num-devices"
MEMORY = "gpu-memory"
CONTAINER = "gpu-fraction-container-name"
PROFILE = "migctl.dev/mig-profile"
MODEL = "migctl.dev/gpu-model"
WHOLE = "migctl.dev/gpu-devices"
"""Whole GPUs, as admission counted them."""
CONTAINERS = "migctl.dev/gpu-containers"
"""What each container requests, and by which request of the claim, as admission read it: "gpu-0:a=1 gpu-1:b=0.5".

An init container uses the request of a container that is started after it.
"""
RESOURCE = "nvidia.com/gpu"
OF_A_CONTAINER = (FRACTION, MEMORY, PROFILE)
"""With a dot and a container's name behind them, these are about that container."""

POOLS = "migctl.dev/node-pools"
PREEMPTIBLE = "migctl.dev/preemptible"
MOVABLE = "migctl.dev/movable"
GANG_SIZE = "migctl.dev/gang-size"
GANG_DOMAIN = "migctl.dev/gang-topology"
GANG_MEMBERS = "migctl.dev/gang-members"
"""How many pods a Job makes that succeed, as admission counted them: its last gang may be smaller than the others."""

MADE_BY = "migctl.dev/made-by"
"""Kind, name and uid of what made a pod, as admission saw it: whoever edits pods can make their controller let go."""

REPLICAS = "migctl.dev/replicas"
"""Of a suspended StatefulSet or Deployment: how many replicas it had."""

NOMINATION = "migctl.dev/nomination"
EVICTED = "migctl.dev/evicted"
EXCLUDED = "migctl.dev/excluded"
PLACED = "migctl.dev/placed"
NUDGED = "migctl.dev/nudged"

PLACED_CONDITION = "migctl.dev/Placed"
"""A pod's condition: whether it has an allocation, and why not."""

REQUEST_ANNOTATIONS = (FRACTION, MEMORY, PROFILE, WHOLE, CONTAINERS)
PLACEMENT_ANNOTATIONS = (NOMINATION, EVICTED, EXCLUDED, PLACED, NUDGED)
KNOWN_ANNOTATIONS = frozenset(
    (
        *REQUEST_ANNOTATIONS,
        *PLACEMENT_ANNOTATIONS,
        DEVICES,
        CONTAINER,
        MODEL,
        POOLS,
        PREEMPTIBLE,
        MOVABLE,
        GANG_SIZE,
        GANG_DOMAIN,
        GANG_MEMBERS,
    )
)
"""The annotations that are stored of a pod; others may be large."""
