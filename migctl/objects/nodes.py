"""Nodes with GPUs: what an admin decides about them, and what their agents report."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from migctl.objects.record import Meta, Record
from nodeagent.contract.allocation import NodeReport
from solver.model.cluster import DEFAULT_POOL


class NodeSpec(Record, frozen=True):
    """What an admin decides about a node.

    dynamic_mig      MIG mode of its GPUs; None: as it was found
    gpu_dynamic_mig  by UUID, of GPUs that have a mode of their own and do not follow the node's
    """

    pool: str = DEFAULT_POOL
    cordoned: bool = False
    dynamic_mig: bool | None = None
    gpu_dynamic_mig: dict[str, bool] = {}


class DynamicMig(Record, frozen=True):
    """The result of a desired MIG mode.

    outcome  done, pending (waits for a GPU reset) or refused (nothing was changed)
    message  why it is pending or refused, and what to do
    """

    wanted: bool
    outcome: str
    message: str = ""


class NodeStatus(Record, frozen=True):
    """The agent's newest report and when it was made; what became of the desired MIG modes, by UUID of GPUs' own."""

    report: NodeReport | None = None
    reported: datetime | None = None
    ready: bool = False
    message: str = ""
    dynamic_mig: DynamicMig | None = None
    gpu_dynamic_mig: dict[str, DynamicMig] = {}


class GpuNode(Record, frozen=True, tag_field="kind", tag="GpuNode"):
    """A node with GPUs."""

    PLURAL: ClassVar[str] = "nodes"
    meta: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
