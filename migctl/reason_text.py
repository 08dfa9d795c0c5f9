"""Sentences of why a request has no place, the same behind every door.

sentence  all the facts of the moment: for `why`, plans and what-if
summary   only what stays true while other work comes and goes: for the status of claims, conditions of pods and
          events, so that one claim's end does not change what is written about all who wait
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from solver.gpu_tables.tables import size_text
from solver.model.demand import ContainerDemands, Demand, Fraction, Memory, WholeGpus
from solver.model.reasons import (
    Bar,
    BlockingClaim,
    Facts,
    FreeForOthers,
    GangIncomplete,
    GpusDiffer,
    GpusFenced,
    LargerThanGpus,
    MigModeDiffers,
    ModelUnknown,
    NeededGpu,
    NoCpuOrMemory,
    NodesBarred,
    NoRoomBesideMembers,
    OthersInTheWay,
    PoolsUnknown,
    ProfileUnknown,
    ProjectUnknown,
    QueueFigures,
    QueueFull,
    RoomHeld,
    RoomReserved,
    RoomTaken,
    StartsFailed,
    Stays,
    TooFewGpus,
    Unplaced,
)

MOST_LISTED = 4


def sentence(reason: Unplaced) -> str:
    """Why it waits, with the numbers of the moment and what would open a place."""
    parts = [_facts(reason.facts), *_cordoned(reason), *map(_figures, reason.figures)]
    if short := reason.gang:
        fit = f"{short.size} members fit together, {short.places} do"
        parts[0] = f"gang {short.gang} starts only when {fit}: {parts[0]}"
    return "; ".join(parts)


def summary(reason: Unplaced) -> str:
    """Why it waits, without what other work changes."""
    told = "; ".join((_stable(reason.facts), *_cordoned(reason)))
    if short := reason.gang:
        return f"gang {short.gang} starts only when {short.size} members fit together: {told}"
    return told


def _cordoned(reason: Unplaced) -> tuple[str, ...]:
    names = listed(reason.cordoned)
    return (f"{names} could serve it and {'is' if len(reason.cordoned) == 1 else 'are'} cordoned",) if names else ()


def _stable(facts: Facts) -> str:
    match facts:
        case RoomHeld() | OthersInTheWay():
            return f"{_lead(facts)} now"
        case RoomReserved():
            return f"it has waited long: {demand_text(facts.demand)} on node {facts.node} is reserved for it"
        case FreeForOthers() | RoomTaken():
            return "requests ahead of it come first"
        case QueueFull():
            return _full(facts)
        case _:
            return _facts(facts)


def _facts(facts: Facts) -> str:
    match facts:
        case ProjectUnknown():
            return f"there is no project {facts.project!r}; projects: {', '.join(facts.known) or 'none'}"
        case StartsFailed():
            return f"its start failed again and again; it is tried again at {_time(facts.until)}"
        case GangIncomplete():
            return f"gang {facts.gang} starts with {facts.size} members together; {facts.present} of them are here"
        case QueueFull():
            return f"{_full(facts)}{_used(facts)} ({_amounts(facts.queue)})"
        case PoolsUnknown():
            return f"no node is in pool {', '.join(facts.pools)}; pools: {', '.join(facts.known) or 'none'}"
        case ProfileUnknown():
            valid = "; ".join(f"{model}: {', '.join(names)}" for model, names in facts.valid.items())
            return f"no GPU here has the profile {facts.profile!r}; {valid or 'no GPU here has MIG'}"
        case ModelUnknown():
            return f"no GPU here is of model {facts.model}; models: {', '.join(facts.known) or 'none'}"
        case NodesBarred():
            return f"no node may run it: {listed(map(_bar, facts.nodes)) or 'there is no node'}"
        case NoCpuOrMemory():
            return _no_host_room(facts)
        case RoomReserved():
            names = listed(map(_name, facts.holders))
            what = demand_text(facts.demand)
            return f"it has waited long: {what} on node {facts.node} is reserved for it until {names} end"
        case FreeForOthers():
            return f"{demand_text(facts.demand)} is free on node {facts.node}; requests ahead of it come first"
        case RoomTaken():
            return f"requests ahead of it take the room for {demand_text(facts.demand)}"
        case NoRoomBesideMembers():
            return f"its own members leave no place for one more of {demand_text(facts.demand)}, whatever else ends"
        case OthersInTheWay():
            others = listed(f"{gpu}: {what}" for gpu, what in facts.gpus)
            return f"{demand_text(facts.demand)} is blocked by what migctl may not touch: {others}"
        case RoomHeld():
            return _held(facts)
        case TooFewGpus() | LargerThanGpus() | MigModeDiffers() | GpusDiffer() | GpusFenced():
            return _unable(facts)


def _unable(facts: TooFewGpus | LargerThanGpus | MigModeDiffers | GpusDiffer | GpusFenced) -> str:
    match facts:
        case GpusFenced():
            return f"every GPU that could serve it is fenced: {listed(f'{gpu}: {why}' for gpu, why in facts.gpus)}"
        case MigModeDiffers(enabled=False):
            switch = "switch it on with `migctl node set NODE --dynamic-mig on`"
            return f"{demand_text(facts.demand)} needs MIG mode, which is off on {listed(facts.gpus)}: {switch}"
        case MigModeDiffers():
            return f"{demand_text(facts.demand)} needs a GPU without MIG mode; it is on on {listed(facts.gpus)}"
        case GpusDiffer():
            ways = listed(f"{gpu} {f'by {profile}' if profile else 'without MIG mode'}" for gpu, profile in facts.gpus)
            return f"{demand_text(facts.demand)} needs GPUs that serve it in one way, and these differ: {ways}"
        case LargerThanGpus():
            return f"{demand_text(facts.demand)} is more than any GPU has: the largest has {facts.largest_mib} MiB"
        case TooFewGpus():
            most = "no GPU" if not facts.able else "1 GPU" if facts.able == 1 else f"{facts.able} GPUs"
            return f"{demand_text(facts.demand)} on one node: the best node has {most} that could serve it"


def _full(facts: QueueFull) -> str:
    queue = facts.queue
    who = f"{queue.kind} {queue.name}{_where(queue)}"
    takes = f"gang {facts.gang} takes" if facts.gang else "this request takes"
    if facts.limit:
        return f"{who} may use {queue.limit:.2f} GPUs and {takes} {facts.wants:.2f} more"
    rule = "non-preemptible work must stay inside the quota"
    return f"{rule}: {takes} {facts.wants:.2f} GPUs, and {who} has a quota of {queue.quota:.2f}"


def _used(facts: QueueFull) -> str:
    return "" if facts.limit else f", of which non-preemptible work holds {facts.queue.non_preemptible:.2f}"


def _held(facts: RoomHeld) -> str:
    """As in: no free start for 3g.20gb: GPU n0/3 needs 4 units together at 0 or 4 and has 5 free units; x blocks ..."""
    places = [_place(gpu, facts.demand) for gpu in facts.gpus]
    if facts.others:
        names = listed(map(_name, facts.others))
        places.append(f"{names} on node {facts.node} for its CPU, memory or distance")
    ahead = "requests ahead of it take the room: " if facts.ahead else ""
    return f"{ahead}{_lead(facts)}: {listed(places)}; {_way_out(facts)}"


def _lead(facts: RoomHeld | OthersInTheWay) -> str:
    what = demand_text(facts.demand)
    if isinstance(facts, RoomHeld) and facts.gpus[0].profile:
        return f"no free start for {what}"
    return f"no node has {what} free" if facts.demand.devices > 1 else f"no GPU has {what} free"


def _place(gpu: NeededGpu, demand: Demand) -> str:
    if gpu.profile is None:
        memory = isinstance(demand, Memory)
        rest = f"GPU {gpu.gpu} has {f'{gpu.free_mib} MiB' if memory else f'{gpu.free_portion:g}'} free"
        if not gpu.holders:
            return rest
        return f"{rest}; {listed(map(_name, gpu.holders))} {_verb(gpu.holders, 'holds', 'hold')} what it needs"
    units = f"{gpu.units} units together" if gpu.units > 1 else "a unit"
    parts = [f"GPU {gpu.gpu} needs {units} at {_starts(gpu.starts)} and has {gpu.free_units} free units"]
    if gpu.holders:
        names = listed(f"{_name(holder)} at {holder.start}" for holder in gpu.holders)
        parts.append(f"{names} {_verb(gpu.holders, 'blocks', 'block')} {gpu.start}")
    if gpu.media_holders:
        names = listed(f"{_name(holder)} at {holder.start}" for holder in gpu.media_holders)
        parts.append(f"{names} {_verb(gpu.media_holders, 'has', 'have')} the media engines it needs")
    return "; ".join(parts)


def _way_out(facts: RoomHeld) -> str:
    if facts.moves:
        there = listed(f"{_name(holder)} to {gpu}" for holder, gpu in facts.moves)
        return f"one move frees it: {there}" if len(facts.moves) == 1 else f"{len(facts.moves)} moves free it: {there}"
    holders = {h.claim: h for gpu in facts.gpus for h in (*gpu.holders, *gpu.media_holders)}
    holders |= {holder.claim: holder for holder in facts.others}
    return listed(map(_stays, holders.values())) or "nobody has to go for it"


def _stays(holder: BlockingClaim) -> str:
    match holder.stays:
        case Stays.STOPPING:
            return f"{holder.name} is stopping"
        case Stays.AHEAD:
            return f"{holder.name} goes before it"
        case Stays.NOT_PREEMPTIBLE:
            return f"{holder.name} is not preemptible"
        case Stays.PROTECTED:
            return f"{holder.name} is protected: {holder.protection}"
        case Stays.MINIMUM_RUNTIME:
            return f"{holder.name} has not run for its minimum time yet"
        case Stays.NOWHERE_ELSE:
            return f"{holder.name} would have to end: no other place is free for it"
        case Stays.NOT_MOVABLE:
            return f"{holder.name} would have to end: it is not to be moved"


def _no_host_room(facts: NoCpuOrMemory) -> str:
    cpu = f"{facts.cpu_milli / 1000:g} CPU" if facts.cpu_milli else ""
    memory = f"{facts.memory_mib} MiB of memory" if facts.memory_mib else ""
    wanted = " and ".join(part for part in (cpu, memory) if part) or "the distance it keeps"
    return f"no node has {wanted} beside {demand_text(facts.demand)}, even without any other work"


def _bar(entry: tuple[str, Bar, str]) -> str:
    node, bar, detail = entry
    match bar:
        case Bar.CORDONED:
            return f"{node} is cordoned"
        case Bar.NOT_READY:
            return f"{node} is not ready"
        case Bar.REFUSED:
            return f"{node}: {detail}" if detail else f"{node} refused it a short while ago"
        case Bar.POOL:
            return f"{node} is in pool {detail}"
        case Bar.LABELS:
            return f"{node} has not the labels {detail}" if detail else f"{node} has not the labels it asks for"


def _figures(queue: QueueFigures) -> str:
    return f"{queue.kind} {queue.name}{_where(queue)}: {_amounts(queue)}"


def _amounts(queue: QueueFigures) -> str:
    quota = "unlimited" if queue.quota < 0 else f"{queue.quota:.2f}"
    return f"allocated {queue.allocated:.2f}, quota {quota}, fair share {queue.fair_share:.2f}"


def _where(queue: QueueFigures) -> str:
    return f" in node pool {queue.pool}" if queue.pool else ""


def _name(holder: BlockingClaim) -> str:
    """A holder as people know it, with what it holds."""
    if holder.demand is None:
        return holder.name
    return f"{holder.name} ({holder.profile or demand_text(holder.demand)})"


def _starts(starts: Sequence[int]) -> str:
    first, last = starts[0], starts[-1]
    if len(starts) > 3 and tuple(starts) == tuple(range(first, last + 1)):
        return f"{first} to {last}"
    return " or ".join(map(str, starts))


def _verb(holders: Sequence[BlockingClaim], one: str, several: str) -> str:
    return one if len(holders) == 1 else several


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S UTC")


def demand_text(demand: Demand) -> str:
    """A demand as people write it: "2 x 0.5 GPU of model V100"; of several containers: "0.5 GPU + 0.25 GPU"."""
    if isinstance(demand, ContainerDemands):
        return " + ".join(map(demand_text, demand.parts))
    of_model = f" of model {demand.model}" if demand.model else ""
    if isinstance(demand, WholeGpus):
        return f"{demand.devices} whole GPU{'s' if demand.devices > 1 else ''}{of_model}"
    if isinstance(demand, Fraction):
        one = f"{demand.portion:g} GPU"
    else:
        one = f"{size_text(demand.mib)} of GPU memory" if isinstance(demand, Memory) else demand.profile
    return f"{one if demand.devices == 1 else f'{demand.devices} x {one}'}{of_model}"


def listed(parts: Iterable[str], most: int = MOST_LISTED) -> str:
    """Some of the parts, and how many more there are."""
    texts = list(parts)
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
