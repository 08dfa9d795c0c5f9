"""Every GPU and who holds what of it, put together from nodes' reports and claims' allocations.

Allocations say who holds what; reports say what is there. A share that is allocated and not yet reported is
starting; an instance that is reported busy by a claim that no longer exists is leaving.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from migctl import node_pools
from migctl.backends.protocol import ControlPlane
from migctl.backends.workload_status import holds
from migctl.objects import Claim, GpuNode, NodePool
from solver.model.cluster import Backing, Gpu
from solver.model.demand import DeviceShare
from solver.model.geometry import GpuModel


@dataclass(frozen=True)
class Held:
    """A share of one GPU and the claim that holds it."""

    claim: Claim
    share: DeviceShare


@dataclass(frozen=True)
class SeenGpu:
    """One GPU: as its node reports it, and what was allocated on it."""

    node: GpuNode
    gpu: Gpu
    model: GpuModel
    held: tuple[Held, ...]

    @property
    def name(self) -> str:
        """`node/index`, accepted wherever a GPU is named."""
        return f"{self.gpu.node}/{self.gpu.index}"

    @property
    def used(self) -> float:
        """What is allocated of it, in GPUs of the quota currency."""
        return sum(held.share.portion for held in self.held)


@dataclass(frozen=True)
class Fleet:
    """Nodes by name and GPUs by node and index."""

    nodes: tuple[GpuNode, ...]
    gpus: tuple[SeenGpu, ...]
    claims: Mapping[str, Claim]
    pools: tuple[NodePool, ...] = ()

    def pool_of(self, node: GpuNode) -> str:
        """The node pool that a node is in."""
        return node_pools.pool_of(node.spec.pool, node.meta.labels, self.pools)

    @cached_property
    def by_uuid(self) -> Mapping[str, SeenGpu]:
        """GPUs by UUID."""
        return {seen.gpu.uuid: seen for seen in reversed(self.gpus)}

    @cached_property
    def by_node(self) -> Mapping[str, tuple[SeenGpu, ...]]:
        """GPUs by the name of their node."""
        found: dict[str, list[SeenGpu]] = defaultdict(list)
        for seen in self.gpus:
            found[seen.gpu.node].append(seen)
        return {node: tuple(gpus) for node, gpus in found.items()}

    def gpu_name(self, uuid: str) -> str:
        """`node/index` of a GPU; its UUID where no node reports it."""
        return self.by_uuid[uuid].name if uuid in self.by_uuid else uuid

    def on(self, node: str) -> Sequence[SeenGpu]:
        """The GPUs of a node."""
        return self.by_node.get(node, ())

    def backing(self, held: Held) -> Backing:
        """What bounds a share: as its node reports it, and before that as it was planned."""
        seen = self.by_uuid.get(held.share.gpu)
        parts = seen.gpu.parts if seen is not None else ()
        return next((part.backing for part in parts if part.claim == held.claim.meta.uid), held.share.backing)

    def notes(self, node: GpuNode) -> list[tuple[str, str]]:
        """What a node's agent remarks, with the workload, GPU or process that it is about."""
        report = node.status.report
        return [(self._subject(key), text) for key, text in sorted(report.notes.items())] if report else []

    def remarks(self, node: GpuNode) -> tuple[str, ...]:
        """What is wrong with a node, its GPUs or what runs on them."""
        message = node.status.message
        noted = (f"{about}: {text}" for about, text in self.notes(node))
        fenced = (f"{seen.name}: {seen.gpu.fenced}" for seen in self.on(node.meta.name) if seen.gpu.fenced)
        return (*((message,) if message else ()), *fenced, *noted)

    def _subject(self, key: str) -> str:
        claim = self.claims.get(key)
        return f"{claim.meta.project}/{claim.spec.workload}" if claim else self.gpu_name(key)

    def holder(self, uid: str | None) -> str:
        """The name of the workload behind a claim's uid, "" where there is none."""
        claim = self.claims.get(uid or "")
        return claim.spec.workload if claim else ""


def share_text(held: Held, seen: Fleet) -> str:
    """A share's backing: `mig 2g.10gb at 4`, `software`, `driver-limit`, `whole`."""
    if held.share.backing is Backing.MIG:
        return f"mig {held.share.profile} at {held.share.start}"
    return seen.backing(held).value


async def read(control: ControlPlane) -> Fleet:
    """The fleet as it is now."""
    nodes, claims, pools = await asyncio.gather(control.list(GpuNode), control.list(Claim), control.list(NodePool))
    return build(nodes.items, claims.items, pools.items)


def build(nodes: Iterable[GpuNode], claims: Iterable[Claim], pools: Iterable[NodePool] = ()) -> Fleet:
    """The fleet that these objects describe."""
    claims = tuple(claims)
    held: dict[str, list[Held]] = defaultdict(list)
    for claim in sorted(claims, key=_since):
        if claim.status.allocation and holds(claim):
            for share in claim.status.allocation.devices:
                held[share.gpu].append(Held(claim, share))
    ordered = tuple(sorted(nodes, key=lambda node: node.meta.name))
    gpus = (seen for node in ordered for seen in _gpus(node, held))
    return Fleet(ordered, tuple(gpus), {claim.meta.uid: claim for claim in claims}, tuple(pools))


def _since(claim: Claim) -> tuple[float, str]:
    """When it was given its share: the older stay where they are on a map."""
    since = claim.status.allocated or claim.meta.created
    return since.timestamp() if since else 0.0, claim.meta.uid


def _gpus(node: GpuNode, held: Mapping[str, list[Held]]) -> Iterator[SeenGpu]:
    report = node.status.report
    if report is not None:
        for gpu in sorted(report.gpus, key=lambda gpu: gpu.index):
            yield SeenGpu(node, gpu, report.models[gpu.model], tuple(held.get(gpu.uuid, ())))
