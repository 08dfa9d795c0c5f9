"""`a100-40gb=2,v100=1` -> simulated GPUs in a state file.

One part per model: its name (or the beginning of it), options after colons, `=` how many.
MIG is on where the model has it; `a100-40gb:nomig=1` leaves it off. With `v100:limits=1` the driver
can limit the memory of a cgroup. `node-a:v100=2,node-b:v100=2`
names nodes, each before its first GPU: migctl.embedded reports the machine as so many nodes.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml import state
from nodeagent.simulated_nvml.gpu_models import MODEL_FACTS, mig_mode_survives_reboot, simulatable
from solver.model.catalog import UnknownModel, find, models
from solver.model.geometry import GpuModel

_NAMESPACE = uuid.UUID("6d6967c7-6c00-5000-8000-73696d756c61")
_MAX_GPUS = 64
_NODE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DRIVER = "580.159.04"
LIMITING_DRIVER = "615.36.02"
CUDA = 13000


class BadSpec(ValueError):
    """The text describes no machine. The message says what would."""


class OtherMachine(BadSpec):
    """The state file holds another machine than the one described. `there`: its spec."""

    def __init__(self, path: Path, there: str) -> None:
        super().__init__(f"{path} simulates {there} already, with its instances and workloads")
        self.there = there


@dataclass(frozen=True, slots=True)
class SimulatedGpu:
    """One GPU.

    node    the simulated node it is on, "" where the machine is the only one
    limits  its driver limits cgroups' memory
    """

    model: GpuModel
    mig: bool
    node: str = ""
    limits: bool = False


def parse(text: str) -> tuple[SimulatedGpu, ...]:
    """The GPUs of a spec, in its order. Raises BadSpec."""
    gpus: list[SimulatedGpu] = []
    node = ""
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, count = part.partition("=")
        before, _, rest = name.partition(":")
        if rest and not _known(before):
            node, name = _node(before), rest
        gpus += [replace(_gpu(name), node=node)] * _count(part, count)
    if any(gpu.node for gpu in gpus) and not all(gpu.node for gpu in gpus):
        raise BadSpec("the first GPU names no node and a later one does; write for example node-a:v100=2,node-b:v100=2")
    if not gpus:
        raise BadSpec("no GPUs to simulate; write for example a100-40gb=2,v100=1")
    if len(gpus) > _MAX_GPUS:
        raise BadSpec(f"{len(gpus)} GPUs are too many to simulate on one node (at most {_MAX_GPUS})")
    return tuple(gpus)


def _known(name: str) -> bool:
    try:
        find(name)
    except UnknownModel:
        return False
    return True


def _node(name: str) -> str:
    if not _NODE.fullmatch(name):
        raise BadSpec(f"{name!r} is neither a GPU model nor a node's name (lower-case letters, digits and '-')")
    return name


def _count(part: str, count: str) -> int:
    if not count and "=" not in part:
        return 1
    if not count.isdecimal() or int(count) == 0:
        raise BadSpec(f"{part!r}: {count!r} is no number of GPUs; write for example {part.split('=')[0]}=2")
    return int(count)


def _gpu(text: str) -> SimulatedGpu:
    name, *options = text.strip().split(":")
    known = ", ".join(sorted(m.lower() for m, model in models().items() if simulatable(model)))
    try:
        model = find(name)
    except UnknownModel as e:
        raise BadSpec(f"no GPU model is called {name!r}; known: {known}") from e
    if not simulatable(model):
        raise BadSpec(f"{model.id} cannot be simulated: its placements are not published; known: {known}")
    wrong = set(options) - {"nomig", "limits"}
    if wrong:
        raise BadSpec(f"{text!r}: unknown option {min(wrong)!r}; there are nomig and limits")
    return SimulatedGpu(model, mig=bool(model.profiles) and "nomig" not in options, limits="limits" in options)


def create(path: Path, spec: str, *, seed: str = "", create_s: float = 0.0, destroy_s: float = 0.0) -> None:
    """Write a new machine to `path`.

    seed                 nodes with different seeds have different GPU UUIDs
    create_s, destroy_s  driver latencies in seconds (measured on hardware: 0.35 and 0.6)
    """
    gpus = parse(spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    state.write(
        path,
        {
            "format": state.FORMAT,
            "spec": spec,
            "driver": LIMITING_DRIVER if any(gpu.limits for gpu in gpus) else DRIVER,
            "cuda": CUDA,
            "host_boot_id": state.host_boot_id(),
            "boots": 1,
            "created_instances": 0,
            "create_s": create_s,
            "destroy_s": destroy_s,
            "gpus": [_gpu_record(seed, index, gpu) for index, gpu in enumerate(gpus)],
        },
    )


def ensure(path: Path, spec: str, *, seed: str = "") -> None:
    """Write a new machine to `path` unless it is there already. Raises BadSpec, DamagedState."""
    if not path.exists():
        create(path, spec, seed=seed)
        return
    there = state.StateFile(path).read()["spec"]
    if parse(there) != parse(spec):
        raise OtherMachine(path, there)


def _gpu_record(seed: str, index: int, gpu: SimulatedGpu) -> dict[str, Any]:
    return {
        "uuid": f"GPU-{uuid.uuid5(_NAMESPACE, f'{seed}/{index}/{gpu.model.id}')}",
        "model": gpu.model.id,
        "name": MODEL_FACTS[gpu.model.id].name,
        "memory_mib": gpu.model.memory_mib,
        "bus": 0x07 + index * 8,
        "mig": gpu.mig,
        "mig_pending": gpu.mig,
        "mig_survives_reboot": mig_mode_survives_reboot(gpu.model),
        "instances": [],
        "processes": [],
        "limits_memory": gpu.limits,
        "memory_limits": {},
        "events": [],
    }
