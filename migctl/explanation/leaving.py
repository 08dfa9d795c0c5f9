"""Pods that are told to stop and cannot, because the node that must end them says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from migctl import quantities
from migctl.backends.workload_status import holds
from migctl.objects import Claim, GpuNode, Phase, Workload

HERE = (
    "`migctl node describe {node}` and `migctl doctor` say what is wrong; "
    "`migctl down`, then `migctl up` starts the node anew"
)
CLUSTER = (
    "an admin looks at `kubectl get node {node}` and at its agent, `kubectl -n migctl-system get pods -o wide`; "
    "where the node is lost for good: `kubectl -n {project} delete pod {pod} --force --grace-period=0` and "
    "`kubectl delete gpunode {node}`"
)


def waiting_for_nodes(
    workload: Workload, pods: Iterable[Claim], there: Iterable[GpuNode], cluster: bool, now: Callable[[], datetime]
) -> list[str]:
    """Which nodes the pods that are being deleted wait for, since when, why, and what an admin can do."""
    nodes = {node.meta.name: node for node in there}
    return [text for pod in pods if _leaves(workload, pod) for text in _waits(pod, nodes, cluster, now)]


def _leaves(workload: Workload, pod: Claim) -> bool:
    told = pod.meta.deleting or workload.meta.deleting or pod.status.phase is Phase.TERMINATING
    return bool(told) and holds(pod)


def _waits(pod: Claim, nodes: dict[str, GpuNode], cluster: bool, now: Callable[[], datetime]) -> Iterator[str]:
    name = pod.status.allocation.node if pod.status.allocation else ""
    node = nodes.get(name)
    if node is not None and node.status.ready:
        return
    why = "it is not there any more" if node is None else node.status.message or "it is not ready"
    since = ""
    if told := pod.meta.deleting:
        since = f" since {told:%Y-%m-%d %H:%M:%S %Z} ({quantities.age_text((now() - told).total_seconds())})"
    act = (CLUSTER if cluster else HERE).format(node=name, project=pod.meta.project, pod=pod.meta.name)
    yield f"pod {pod.meta.name} waits{since} for node {name} to end it: {why}; it ends when the node is back. {act}"
