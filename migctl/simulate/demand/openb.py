"""The openb trace (Alibaba cluster-trace-gpu-v2023): its nodes as a fleet, its pods as arrivals.

Nodes:  sn, cpu_milli, memory_mib, gpu (how many), model
Pods:   name, cpu_milli, memory_mib, num_gpu, gpu_milli (of each GPU; 1000: all of it), gpu_spec (models that
        will do, joined by |; empty: any), ..., creation_time, deletion_time (seconds)

The GPUs have no MIG: pods share them as software fractions. Pods without a GPU are left out: they are
not placed here. GPU memory is not in the trace, and no decision here depends on it. Files may end in .gz.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType

from migctl.simulate.events import Arrival
from migctl.simulate.fleet import PROJECT, SimulatedFleet
from solver.model.cluster import Gpu, Node
from solver.model.demand import Demand, Fraction, Request, WholeGpus
from solver.model.geometry import GpuModel

WHOLE = 1000
NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")
TIMES = ("creation_time", "deletion_time")
Row = Mapping[str, str]


class BadTrace(ValueError):
    """The file is not of this trace's form. The message says where."""


def fleet(path: Path) -> SimulatedFleet:
    """The nodes that have GPUs, each model a pool. Raises BadTrace, OSError."""
    nodes: list[Node] = []
    gpus: list[Gpu] = []
    for line, row in _rows(path, NODE_COLUMNS):
        count, model = _number(path, line, row, "gpu"), row["model"]
        if not count:
            continue
        cpu, memory = (_number(path, line, row, column) for column in ("cpu_milli", "memory_mib"))
        nodes.append(Node(row["sn"], pool=model, cpu_milli=cpu, memory_mib=memory))
        gpus += (Gpu(f"{row['sn']}/{i}", row["sn"], i, model, 0) for i in range(count))
    if not gpus:
        raise BadTrace(f"{path} lists no node with a GPU")
    models = {gpu.model: GpuModel(gpu.model, gpu.model, "", 0) for gpu in gpus}
    return SimulatedFleet(tuple(nodes), tuple(gpus), MappingProxyType(models))


def arrivals(path: Path, timed: bool = True) -> tuple[Arrival, ...]:
    """The pods with GPUs, in the order of their creation. Raises BadTrace, OSError.

    timed  False: where the file does not say when pods come and go, they come in its order at 0, and never go
    """
    columns = (*POD_COLUMNS, *(TIMES if timed else ()))
    found = (_arrival(path, line, row) for line, row in _rows(path, columns) if row["num_gpu"] != "0")
    return tuple(sorted(found, key=lambda arrival: arrival.at))


def staying(pods: Iterable[Arrival]) -> tuple[Arrival, ...]:
    """The same pods in the same order, one a second; none leaves."""
    return tuple(replace(pod, at=float(number), lasts=math.inf) for number, pod in enumerate(pods))


def filling(pods: Sequence[Arrival], whole: SimulatedFleet, load: float, seed: int) -> tuple[Arrival, ...]:
    """Pods drawn from these until they request `load` times the fleet's GPUs; none leaves.

    So Weng et al. (section 6) load a cluster until it is full.
    """
    rng, requested, drawn = Random(seed), 0.0, list[Arrival]()
    while requested < load * len(whole.gpus):
        pod = rng.choice(pods)
        requested += whole.size(pod.request.demand).compute
        name = f"{pod.request.name}-{len(drawn)}"
        drawn.append(replace(pod, request=replace(pod.request, claim=name, name=name, workload=name)))
    return staying(drawn)


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise BadTrace(f"{path} has no column {', '.join(missing)}")
        for row in reader:
            yield reader.line_num, row


def _number(path: Path, line: int, row: Row, column: str) -> int:
    try:
        return int(float(row[column]))
    except (TypeError, ValueError) as error:
        raise BadTrace(f"{path}, line {line}: {column} is {row[column]!r}, no number") from error


def _arrival(path: Path, line: int, row: Row) -> Arrival:
    cpu, memory, devices, milli = (
        _number(path, line, row, column) for column in ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    )
    created, deleted = (
        float(_number(path, line, row, column)) if column in row else otherwise
        for column, otherwise in zip(TIMES, (0.0, math.inf), strict=True)
    )
    if devices < 1 or not 0 < milli <= WHOLE:
        raise BadTrace(f"{path}, line {line}: {devices} GPUs, {milli} thousandths of each, is no request")
    demand: Demand = WholeGpus(devices) if milli == WHOLE else Fraction(milli / WHOLE, devices)
    request = Request(
        claim=row["name"],
        name=row["name"],
        workload=row["name"],
        project=PROJECT,
        demand=demand,
        created=created,
        pools=tuple(filter(None, row["gpu_spec"].split("|"))),
        cpu_milli=cpu,
        memory_mib=memory,
    )
    return Arrival(created, request, max(0.0, deleted - created))
