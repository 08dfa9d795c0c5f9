"""A workload and its pods (claims), read together, and their texts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from migctl import quantities
from migctl.backends import workload_status
from migctl.backends.protocol import ControlPlane, NotFound
from migctl.backends.workload_status import allocated, holds
from migctl.cli import names
from migctl.cli.failures import not_found, usage
from migctl.objects import Claim, GpuRequest, Phase, Workload, WorkloadType
from solver.model.demand import DeviceShare

ANY = ("workload", "workloads", "job", "jobs")
TYPES = {word: type.value for type in WorkloadType for word in (type.value, f"{type.value}s")}
NOUNS = (*ANY, *TYPES)

V1_TYPES = {
    WorkloadType.TRAINING: "Train",
    WorkloadType.WORKSPACE: "Interactive",
    WorkloadType.INFERENCE: "Inference",
    WorkloadType.DISTRIBUTED: "Distributed",
}


@dataclass(frozen=True)
class WorkloadView:
    """A workload and its pods, by index; attempts that are over come before the one that is not."""

    workload: Workload
    pods: tuple[Claim, ...]

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.workload.meta.name

    @property
    def project(self) -> str:
        """The project it belongs to."""
        return self.workload.meta.project

    @property
    def phase(self) -> Phase:
        """The phase to show."""
        return workload_status.shown_phase(self.workload)

    @property
    def nodes(self) -> str:
        """The nodes its pods are on."""
        return ",".join(
            sorted({pod.status.allocation.node for pod in self.pods if pod.status.allocation and holds(pod)})
        )

    @property
    def shares(self) -> list[DeviceShare]:
        """What it holds of each GPU."""
        held = (pod.status.allocation for pod in self.pods if holds(pod))
        return [share for grant in held if grant is not None for share in grant.devices]

    @property
    def allocated(self) -> float:
        """What it holds, in GPUs of the quota currency."""
        return sum(allocated(pod) for pod in self.pods)

    @property
    def reason(self) -> str:
        """Why it is in its phase, as a sentence or at least a word."""
        return workload_status.explanation(self.workload.status)


def gpu_request_text(request: GpuRequest, pods: int = 1) -> str:
    """A GPU request in its own terms: `0.50`, `2.00`, `4769 MiB`, `2 x 2g.10gb`; of containers `1.00 + 4769 MiB`."""
    if request.containers:
        return " + ".join(gpu_request_text(part, pods) for part in request.containers)
    count = request.devices * pods
    if request.memory_mib is None and request.profile is None:
        return quantities.portion_text((1.0 if request.fraction is None else request.fraction) * count)
    thing = request.profile or quantities.memory_text(request.memory_mib or 0)
    return thing if count == 1 else f"{count} x {thing}"


def request_text(request: GpuRequest) -> str:
    """A GPU request as a phrase: `2 GPUs of model V100`, `5120 MiB on each of 2 GPUs`, `a: 1 GPU, b: 0.50 GPU`."""
    if request.containers:
        return ", ".join(f"{part.container}: {request_text(part)}" for part in request.containers)
    of_model = f" of model {request.model}" if request.model else ""
    if request.fraction is None and request.memory_mib is None and request.profile is None:
        return ("1 GPU" if request.devices == 1 else f"{request.devices} GPUs") + of_model
    one = gpu_request_text(msgspec.structs.replace(request, devices=1)) + (
        " GPU" if request.fraction is not None else ""
    )
    if request.devices == 1:
        return one + of_model
    return f"{one.removesuffix(' GPU')} on each of {request.devices} GPUs{of_model}"


def gpus_cell(job: WorkloadView) -> str:
    """`Allocated (Requested)`: nothing is allocated any more to what is over."""
    held = "-" if job.phase.finished else quantities.portion_text(job.allocated)
    return f"{held} ({gpu_request_text(job.workload.spec.gpu_request, job.workload.spec.parallelism)})"


@dataclass(frozen=True)
class WorkloadName:
    """A workload as it is typed: `NAME`, `KIND/NAME`, or with the kind as the word before it.

    type  value of the WorkloadType that it must have; None: any
    """

    name: str
    type: str | None = None

    @classmethod
    def read(cls, word: str, before: str = "") -> WorkloadName:
        """Raises Failure where the word names no workload, or the word before contradicts it."""
        kind, name = names.split(word, *NOUNS)
        kinds = {TYPES[given] for given in (kind, before) if given in TYPES}
        if len(kinds) > 1:
            raise usage(f"{before} {word} is two types at once", hint=f"{before} {name}")
        return cls(name, next(iter(kinds), None))


def workload_names(words: Sequence[str]) -> list[WorkloadName]:
    """The workloads in `NAME...`, or `job NAME...` as the verb-first grammar has it, each once."""
    before, *others = words
    typed = [(word, before) for word in others] if others and before in NOUNS else [(word, "") for word in words]
    return list(dict.fromkeys(WorkloadName.read(*each) for each in typed))


def one_workload(words: Sequence[str]) -> WorkloadName:
    """The workload in `NAME` or `job NAME`."""
    found = workload_names(words)
    if len(found) != 1:
        listed = ", ".join(each.name for each in found)
        raise usage(f"one workload at a time, not {len(found)}: {listed}")
    return found[0]


async def jobs(
    control: ControlPlane, project: str | None, keep: Callable[[Workload], bool] = lambda _: True
) -> list[WorkloadView]:
    """The workloads of a project (None: of all) that `keep` accepts, oldest first, with their pods."""
    workloads, claims = await asyncio.gather(control.list(Workload, project), control.list(Claim, project))
    pods: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims.items:
        pods[claim.spec.workload_uid].append(claim)
    chosen = [workload for workload in workloads.items if keep(workload)]
    return sorted(
        (with_pods(w, pods[w.meta.uid]) for w in chosen), key=lambda job: (job.project, _created(job), job.name)
    )


def with_pods(workload: Workload, claims: Sequence[Claim]) -> WorkloadView:
    """The workload with its pods in order of index and attempt."""
    return WorkloadView(workload, tuple(sorted(claims, key=lambda pod: (pod.spec.index, pod.spec.attempt))))


def _created(job: WorkloadView) -> float:
    return job.workload.meta.created.timestamp() if job.workload.meta.created else 0.0


async def find(control: ControlPlane, project: str, wanted: WorkloadName, noun: str | None = None) -> Workload:
    """The workload, or a failure that says where to look. `noun`: the type that the command is about."""
    name = wanted.name
    try:
        workload = await control.get(Workload, name, project)
    except NotFound:
        raise not_found(f"no workload {name!r} in project {project}", hint=f"migctl list -p {project}") from None
    kind = workload.spec.type
    other = next((type for type in (wanted.type, noun) if type is not None and type != kind), None)
    if other is not None:
        raise not_found(f"no {other} {name!r} in project {project}", hint=f"it is a {kind}: use migctl {kind}")
    return workload


async def find_jobs(
    control: ControlPlane, project: str, wanted: Sequence[WorkloadName], noun: str | None = None
) -> list[WorkloadView]:
    """The workloads with their pods, in the order of the names."""
    workloads = await asyncio.gather(*(find(control, project, each, noun) for each in wanted))
    claims = (await control.list(Claim, project)).items
    return [with_pods(w, [claim for claim in claims if claim.spec.workload_uid == w.meta.uid]) for w in workloads]
