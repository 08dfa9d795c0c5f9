"""Nodes, node pools and GPUs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from migctl.api.v1.schemas.schema import Schema
from migctl.api.v1.schemas.support import NotHere, SentBody, WithoutEffect
from migctl.api.v1.schemas.workload_specs import Text
from solver.model.snapshot import MemoryRule, Spreading

NEXT = Field(default=None, description="The offset of the next page; null: this is the last one.")


class BlockOut(Schema):
    """A part of a GPU. The blocks of a GPU fill it."""

    state: str = Field(description="busy, starting, leaving, idle, foreign, quarantined, free, or closed for new work.")
    size: int = Field(description="Placement units; MiB on a GPU without MIG.")
    title: str = Field(description="A MIG profile, an amount of memory, or whole.")
    start: int | None = Field(default=None, description="Its first placement unit.")
    instance: str = Field(default="", description="UUID of the MIG instance, of one's own projects.")
    workload: str = ""
    project: str = ""
    held_by: str = Field(default="", description="project/workload, or `another project`.")


class ProcessOut(Schema):
    """A process of one's own projects, or of nobody."""

    pid: int
    memory_mib: int
    workload: str = ""
    project: str = ""


class GpuOut(Schema):
    """A GPU: its layout, who holds what of it, and what is free."""

    id: str = Field(description="Its UUID.")
    name: str = Field(description="node/index.")
    node: str
    index: int
    node_pool: str
    model: str
    product: str
    memory_mib: int
    mig: bool
    dynamic_mig: bool | None = Field(description="The MIG mode that is wished of it; null: as it was found.")
    allocated: float = Field(description="In GPUs of the quota's currency.")
    free: float = Field(description="What can still be allocated, in the same currency.")
    fenced: bool
    closed: list[str] = Field(description="Why nothing new may be placed on it.")
    blocks: list[BlockOut]
    processes: list[ProcessOut]


class GpuPage(Schema):
    """GPUs, a page at a time."""

    gpus: list[GpuOut]
    next: int | None = NEXT


class GpusOfNode(Schema):
    """The GPUs of a node."""

    gpu_type: str
    gpu_count: int


class ConditionOut(Schema):
    """Something about a node that people should know."""

    type: str
    reason: str
    message: str


class MigModeOut(Schema):
    """What became of a wished MIG mode."""

    wanted: bool
    outcome: str = Field(description="done, pending (waits for a GPU reset) or refused; empty: no answer yet.")
    message: str = ""


class NodeOut(Schema):
    """A node with GPUs."""

    id: str
    name: str
    cluster_uuid: str
    status: str = Field(description="Ready or NotReady.")
    ready: bool
    cordoned: bool
    message: str = Field(description="Why it is not ready.")
    conditions: list[ConditionOut]
    node_pool: str
    labels: dict[str, str]
    driver: str
    gpu_info: GpusOfNode
    allocated_gpus: float
    free_gpus: float
    dynamic_mig: MigModeOut | None = None
    created_at: datetime | None
    updated_at: datetime | None
    gpus: list[GpuOut]


class NodePage(Schema):
    """Nodes, a page at a time."""

    nodes: list[NodeOut]
    next: int | None = NEXT


class NodeChange(SentBody):
    """What is to change of a node."""

    cordoned: bool | None = Field(default=None, description="Keep new work away; what runs goes on.")
    node_pool: Text | None = Field(default=None, description="Id or name of the node pool.")
    dynamic_mig: bool | None = Field(
        default=None, description="MIG mode of its GPUs; the answer is in dynamicMig of the node, some seconds later."
    )


class SentPlacement(Schema):
    """How work is spread over the nodes of a pool."""

    gpu: Spreading | None = None
    cpu: Annotated[Spreading | None, WithoutEffect("only GPUs are placed")] = None


class NodePoolSettings(SentBody):
    """How the nodes of a pool are used."""

    label_key: Text | None = None
    label_value: Text | None = None
    placement_strategy: SentPlacement | None = None
    memory_rule: MemoryRule | None = Field(
        default=None, description="Which of two MIG profiles of the same memory serves a request for memory."
    )
    over_provisioning_ratio: Annotated[int | None, WithoutEffect("nothing is placed twice")] = Field(
        default=None, ge=1, le=1
    )
    network_topology_name: Annotated[None, NotHere("topology is read from labels of nodes")] = None
    network_topology_id: Annotated[None, NotHere("topology is read from labels of nodes")] = None
    scheduling_configuration: Annotated[None, NotHere("placementStrategy says how work is spread")] = None
    gpu_network_acceleration_label_key: Annotated[None, NotHere("topology is read from labels of nodes")] = None
    gpu_network_acceleration_detection: Annotated[Text | None, WithoutEffect("the agent reports what there is")] = None
    gpu_resource_optimization: Annotated[None, NotHere("nothing is placed twice")] = None


class NodePoolRequest(NodePoolSettings):
    """A node pool: the nodes that have its label, or that name it."""

    name: Text
    cluster_id: Text = ""


class PlacementOut(Schema):
    """How work is spread over the nodes of a pool."""

    gpu: Spreading


class NodePoolOut(Schema):
    """A node pool."""

    id: str
    name: str
    cluster_id: str
    is_default: bool
    label_key: str
    label_value: str
    placement_strategy: PlacementOut
    memory_rule: MemoryRule
    over_provisioning_ratio: int = 1
    phase: str = "Ready"
    nodes: list[str]
    created_at: datetime | None


class NodePoolPage(Schema):
    """Node pools, a page at a time."""

    nodepools: list[NodePoolOut]
    next: int | None = NEXT
