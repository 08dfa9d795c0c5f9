"""Where the suite runs: a cluster and one of its nodes, whose kubelet is on this machine.

MIGCTL_TEST_KUBECONFIG     an admin's kubeconfig; without it the suite is skipped
MIGCTL_TEST_NODE           the node; the only one where there is one
MIGCTL_TEST_KUBELET_ROOT   its kubelet's --root-dir (/var/lib/kubelet)
MIGCTL_TEST_CDI_DIR        where its container runtime looks for CDI specs (/var/run/cdi)
MIGCTL_TEST_IMAGE          an image with sh, env and sleep that the node has (docker.io/library/busybox:1); with the tag
                           latest, Kubernetes pulls it anew for every pod

The suite installs migctl and removes it again. A 1.36 API server that has seen the policies of admission removed does
not read the ConfigMap of MIG profiles when they come back, until it is restarted: there, test_d6_an_unknown_profile
and test_what_no_gpu_of_the_cluster_can_... fail.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    kubeconfig: Path
    node: str
    kubelet_root: Path
    cdi_dir: Path
    image: str


def place() -> Place | None:
    """What the environment says; None without a cluster."""
    kubeconfig = os.environ.get("MIGCTL_TEST_KUBECONFIG")
    if not kubeconfig:
        return None
    return Place(
        kubeconfig=Path(kubeconfig).absolute(),
        node=os.environ.get("MIGCTL_TEST_NODE", ""),
        kubelet_root=Path(os.environ.get("MIGCTL_TEST_KUBELET_ROOT", "/var/lib/kubelet")),
        cdi_dir=Path(os.environ.get("MIGCTL_TEST_CDI_DIR", "/var/run/cdi")),
        image=os.environ.get("MIGCTL_TEST_IMAGE", "docker.io/library/busybox:1"),
    )
