"""The scenario language: what a cluster is, what people do, and what they must see then.

One statement per line or between semicolons; `#` begins a comment.

    2 nodes x 2 v100                      node-a and node-b with two GPUs each
    node node-c 1 a100-40gb rack=r1       one more, with labels
    department science quota 4
    project team-a quota 2 limit 3 weight 1 priority 1 department science min-runtime 60
    submit a1 team-a -g 1                 also --memory 10GB, --profile 2g.10gb; --interactive, --preemptible
    submit gang team-a -g 1 --workers 3   a gang; --min 2: at least so many; --domain rack, --prefer rack
    delete a1
    pass 60                               seconds
    cycles 20                             decisions
    expect a1 b1 Running                  each of them; also Pending
    expect a1 waits: over quota           its reason has these words
    expect a1 told: team-b/b2             its newest event of being stopped has these words
    expect a1 b1 kept                     the same pods as at the last expectation that they run
    expect a1 on node-a                   all its pods; of several nodes: on each of them
    expect team-a uses 3
    expect 1 moved                        since the last submission or deletion; also evicted
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migctl import quantities
from migctl.objects import (
    Department,
    DepartmentSpec,
    GangSpec,
    GpuRequest,
    Meta,
    Project,
    ProjectSpec,
    Workload,
    WorkloadSpec,
    WorkloadType,
)

NAMES = "abcdefgh"


@dataclass(frozen=True)
class NodeDecl:
    """A node of `count` GPUs of a model."""

    name: str
    model: str
    count: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Submit:
    workload: Workload


@dataclass(frozen=True)
class Delete:
    name: str


@dataclass(frozen=True)
class Pass:
    seconds: float


@dataclass(frozen=True)
class Cycles:
    count: int


@dataclass(frozen=True)
class Expect:
    """`names` and what of them: a phase, "waits", "told", "kept", "on", "uses", "moved" or "evicted"."""

    names: tuple[str, ...]
    what: str
    value: str = ""
    line: str = ""


Step = Submit | Delete | Pass | Cycles | Expect


@dataclass(frozen=True)
class Scenario:
    nodes: tuple[NodeDecl, ...]
    departments: tuple[Department, ...]
    projects: tuple[Project, ...]
    steps: tuple[Step, ...]


def parse(text: str) -> Scenario:
    """The scenario a text describes. Raises ValueError with the line it does not understand."""
    nodes: list[NodeDecl] = []
    departments: list[Department] = []
    projects: list[Project] = []
    steps: list[Step] = []
    for line in re.split(r"[;\n]", re.sub(r"#[^\n]*", "", text)):
        words = shlex.split(line)
        match words:
            case []:
                continue
            case [count, "nodes", "x", each, model]:
                first = len(nodes)
                nodes += [NodeDecl(f"node-{NAMES[first + i]}", model, int(each)) for i in range(int(count))]
            case ["node", name, count, model, *labels]:
                nodes.append(NodeDecl(name, model, int(count), dict(label.split("=") for label in labels)))
            case ["department", name, *rest]:
                departments.append(Department(meta=Meta(name=name), spec=DepartmentSpec(**_fields(rest))))
            case ["project", name, *rest]:
                projects.append(Project(meta=Meta(name=name), spec=ProjectSpec(**_fields(rest))))
            case _:
                steps.append(_step(line.strip(), words))
    return Scenario(tuple(nodes), tuple(departments), tuple(projects), tuple(steps))


def _step(line: str, words: list[str]) -> Step:
    match words:
        case ["submit", name, project, *flags]:
            return Submit(_workload(name, project, flags))
        case ["delete", name]:
            return Delete(name)
        case ["pass", seconds]:
            return Pass(float(seconds))
        case ["cycles", count]:
            return Cycles(int(count))
        case ["expect", count, ("moved" | "evicted") as what]:
            return Expect((), what, count, line)
        case ["expect", name, ("waits:" | "told:" | "on" | "uses") as what, *value]:
            return Expect((name,), what.rstrip(":"), " ".join(value), line)
        case ["expect", *names, ("Running" | "Pending" | "Completed" | "kept") as what]:
            return Expect(tuple(names), what, "", line)
    raise ValueError(f"not understood: {line}")


def _fields(words: list[str]) -> dict[str, Any]:
    names = {"weight": "over_quota_weight", "min-runtime": "min_runtime_s"}
    pairs = zip(words[::2], words[1::2], strict=True)
    fields: dict[str, Any] = {
        names.get(key, key): value if key == "department" else float(value) for key, value in pairs
    }
    return {key: int(value) if key == "priority" else value for key, value in fields.items()}


def _workload(name: str, project: str, flags: list[str]) -> Workload:
    given = dict(zip(flags, [*flags[1:], ""], strict=True))
    interactive = "--interactive" in given
    workers = int(given.get("--workers", 1))
    domain = given.get("--domain") or given.get("--prefer")
    gang = GangSpec(int(given.get("--min", workers)), domain, "--prefer" not in given) if "--workers" in given else None
    kind = WorkloadType.WORKSPACE if interactive else WorkloadType.DISTRIBUTED if gang else WorkloadType.TRAINING
    spec = WorkloadSpec(
        type=kind,
        gpu_request=_ask(given),
        command=("sleep", "600"),
        directory="/",
        preemptible=not interactive or "--preemptible" in given,
        parallelism=workers,
        gang=gang,
    )
    return Workload(meta=Meta(name=name, project=project), spec=spec)


def _ask(given: Mapping[str, str]) -> GpuRequest:
    if "--memory" in given:
        return GpuRequest(memory_mib=quantities.flag_memory(given["--memory"]))
    if "--profile" in given:
        return GpuRequest(profile=given["--profile"])
    count = quantities.fraction_or_gpus(given["-g"])
    return GpuRequest(fraction=count) if isinstance(count, float) else GpuRequest(devices=count)
