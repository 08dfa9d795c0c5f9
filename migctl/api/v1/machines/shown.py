"""How nodes and GPUs are shown: what others hold is told, and not their names."""

from __future__ import annotations

from migctl.api.v1.machines.rows import GpuRow, MachineRow
from migctl.api.v1.schemas.machines import BlockOut, ConditionOut, GpuOut, GpusOfNode, MigModeOut, NodeOut, ProcessOut
from migctl.api.v1.service import CallersService
from migctl.gpu_map.fleet import Fleet
from migctl.gpu_map.gpu_blocks import Block, blocks, closed, free
from migctl.objects import GpuNode, Project

ANOTHER = "another project"
DECIMALS = 3


def node_out(door: CallersService, row: MachineRow, fleet: Fleet) -> NodeOut:
    """A node with its GPUs."""
    node, report = row.node, row.node.status.report
    wanted, answered = node.spec.dynamic_mig, node.status.dynamic_mig
    mode = None
    if wanted is not None:
        same = answered is not None and answered.wanted == wanted
        outcome, message = (answered.outcome, answered.message) if answered is not None and same else ("", "")
        mode = MigModeOut(wanted=wanted, outcome=outcome, message=message if _sees_all(door) else "")
    return NodeOut(
        id=node.meta.uid,
        name=node.meta.name,
        cluster_uuid=door.service.cluster.uid,
        status="Ready" if node.status.ready else "NotReady",
        ready=node.status.ready,
        cordoned=node.spec.cordoned,
        message=door.told(node.status.message),
        conditions=_conditions(door, node),
        node_pool=row.pool,
        labels=dict(node.meta.labels),
        driver=report.driver if report else "",
        gpu_info=GpusOfNode(gpu_type=row.models, gpu_count=len(row.gpus)),
        allocated_gpus=round(sum(seen.used for seen in row.gpus), DECIMALS),
        free_gpus=round(sum(map(free, row.gpus)), DECIMALS),
        dynamic_mig=mode,
        created_at=node.meta.created,
        updated_at=node.status.reported or node.meta.created,
        gpus=[gpu_out(door, GpuRow(row, seen), fleet) for seen in row.gpus],
    )


def gpu_out(door: CallersService, row: GpuRow, fleet: Fleet) -> GpuOut:
    """A GPU, its layout, and who holds what of it."""
    seen, node = row.seen, row.machine.node
    gpu = seen.gpu
    whys = closed(seen)
    if not _sees_all(door):
        whys = tuple("fenced" if why.startswith("fenced") else why for why in whys)
    return GpuOut(
        id=gpu.uuid,
        name=seen.name,
        node=gpu.node,
        index=gpu.index,
        node_pool=row.machine.pool,
        model=seen.model.id,
        product=seen.model.product,
        memory_mib=gpu.memory_mib,
        mig=gpu.mig,
        dynamic_mig=node.spec.gpu_dynamic_mig.get(gpu.uuid, node.spec.dynamic_mig),
        allocated=round(seen.used, DECIMALS),
        free=round(free(seen), DECIMALS),
        fenced=bool(gpu.fenced),
        closed=list(whys),
        blocks=[_block(door, block) for block in blocks(seen, fleet)],
        processes=_processes(door, node, gpu.uuid, fleet),
    )


def _sees_all(door: CallersService) -> bool:
    """Whether there is nothing to hide from him: texts of agents may name what is on a GPU."""
    return all(door.seen.sees_project(project.meta.name) for project in door.service.view.all(Project))


def _block(door: CallersService, block: Block) -> BlockOut:
    hidden = bool(block.holder) and not door.seen.sees_project(block.project)
    held_by = f"{block.project}/{block.holder}" if block.holder else ""
    return BlockOut(
        state=block.state,
        size=block.size,
        title=block.title,
        start=block.start,
        instance="" if hidden else block.uuid,
        workload="" if hidden else block.holder,
        project="" if hidden else block.project,
        held_by=ANOTHER if hidden else held_by,
    )


def _processes(door: CallersService, node: GpuNode, uuid: str, fleet: Fleet) -> list[ProcessOut]:
    """Of the node as the caller sees it, without others' processes."""
    shown = []
    for process in node.status.report.processes if node.status.report else ():
        claim = fleet.claims.get(process.claim or "")
        project = claim.meta.project if claim else ""
        if process.gpu == uuid and (not project or door.seen.sees_project(project)):
            workload = claim.spec.workload if claim else ""
            shown.append(ProcessOut(pid=process.pid, memory_mib=process.memory_mib, workload=workload, project=project))
    return shown


def _conditions(door: CallersService, node: GpuNode) -> list[ConditionOut]:
    """What the caller may know of is wrong with a node."""
    found = []
    if not node.status.ready:
        found.append(ConditionOut(type="Ready", reason="NotReady", message=door.told(node.status.message)))
    if node.spec.cordoned:
        found.append(ConditionOut(type="Cordoned", reason="Cordoned", message="an admin keeps new work away"))
    return found
