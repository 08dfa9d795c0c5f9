"""Admission: the rules that workloads, projects and departments pass before they are stored.

Pure. Every refusal names the field and the rule and gives a hint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

import msgspec
from msgspec.structs import replace

from migctl import node_pools as pools_of_nodes
from migctl.backends.protocol import Conflict, Invalid, NotFound
from migctl.objects import (
    Department,
    GpuNode,
    GpuRequest,
    NodePool,
    Project,
    QueueQuota,
    Workload,
    WorkloadSpec,
    WorkloadType,
)
from migctl.quantities import MAX_DURATION_S, MAX_GPUS, SMALLEST_MEMORY, flag_memory, fraction_or_gpus
from nodeagent.contract.units import MIB
from solver.model import priorities
from solver.model.cluster import DEFAULT_POOL
from solver.model.geometry import GpuModel
from solver.model.snapshot import UNLIMITED

_PROFILE_NAME = re.compile(r"\d+g\.\d+gb(?:[+-]\w+(?:\.\w+)?)?")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
MAX_PODS = 10_000
MAX_DEVICES = 1024
CLOSE = 0.8
"""How alike a name must be to one that there is for that to be a guess worth making."""
CHANGEABLE = ("suspended", "parallelism", "backoff_limit", "ttl_after_finish_s")
"""Fields of a workload's spec that may change once it is submitted."""


def check(
    workload: Workload, projects: Collection[Project], models: Collection[GpuModel], pools: Collection[str] = ()
) -> None:
    """Raises Invalid or NotFound (its project, a node pool) unless the workload may be submitted.

    projects  those there are
    models    of the cluster's GPUs, empty while no node has reported
    pools     of the cluster's nodes, empty while none is known
    """
    check_name(workload.meta.name)
    check_labels(workload.meta.labels)
    _project(workload.meta.project, projects)
    _gpu_request(workload.spec.gpu_request)
    if models:
        _servable(workload.spec.gpu_request, models)
    _known_pools("spec.pools", workload.spec.pools, pools)
    _pods(workload.spec)
    _process(workload.spec)


def check_submission(
    workload: Workload, projects: Collection[Project], nodes: Collection[GpuNode], node_pools: Iterable[NodePool]
) -> None:
    """`check` against what is stored."""
    reports = [node.status.report for node in nodes]
    models = {id: model for report in reports if report for id, model in report.models.items()}
    check(workload, projects, tuple(models.values()), pools_of_nodes.names(nodes, node_pools) if nodes else ())


def check_change(before: Workload, after: Workload) -> None:
    """Raises Invalid where a submitted workload would become another one."""
    fields = msgspec.structs.fields(WorkloadSpec)
    for field in fields:
        if field.name not in CHANGEABLE and getattr(before.spec, field.name) != getattr(after.spec, field.name):
            changeable = ", ".join(f.encode_name for f in fields if f.name in CHANGEABLE)
            raise _invalid(
                f"spec.{field.encode_name}",
                "cannot be changed after the submission",
                hint=f"delete {before.meta.name} and submit it again; what can be changed: {changeable}",
            )
    if before.spec != after.spec:
        _pods(after.spec)


def check_project(project: Project) -> None:
    """Raises Invalid unless the project may be stored."""
    check_name(project.meta.name)
    spec = project.spec
    _quota("spec", spec)
    _seconds("spec.minRuntimeS", spec.min_runtime_s)
    for pool, quota in spec.pools.items():
        _quota(f"spec.pools.{pool}", quota)
    if spec.department is not None and not NAME.fullmatch(spec.department):
        raise _bad_name("spec.department", spec.department)


def check_neighbours(
    before: Project | Department | None,
    after: Project | Department,
    departments: Collection[str],
    pools: Collection[str],
) -> None:
    """Raises NotFound where a queue comes to name a department or node pool that does not exist.

    before  what is stored (None: nothing); names that were there already may stay
    pools   of the cluster's nodes, empty while none is known
    """
    new = set(after.spec.pools) - set(before.spec.pools if before else ())
    _known_pools("spec.pools", sorted(new), pools)
    if isinstance(after, Project) and after.spec.department is not None:
        same = isinstance(before, Project) and before.spec.department == after.spec.department
        if not same and after.spec.department not in departments:
            raise NotFound(
                f"spec.department: no department is called {after.spec.department!r}",
                hint=_listed("departments", departments) or "there is none yet: migctl department create NAME",
            )


def check_department(department: Department) -> None:
    """Raises Invalid unless the department may be stored."""
    check_name(department.meta.name)
    spec = department.spec
    _quota("spec", spec)
    for pool, quota in spec.pools.items():
        _quota(f"spec.pools.{pool}", quota)


def check_node_pool(pool: NodePool) -> None:
    """Raises Invalid unless the node pool may be stored."""
    check_name(pool.meta.name)
    spec = pool.spec
    if spec.label_value and not spec.label_key:
        raise _invalid("spec.labelKey", "a label's value needs its name", hint="for example gpu=a100")
    if spec.label_key:
        check_labels({spec.label_key: spec.label_value})


def check_node(before: GpuNode, after: GpuNode, pools: Collection[str]) -> None:
    """Raises NotFound where a node comes to name a node pool that does not exist."""
    if after.spec.pool != before.spec.pool and after.spec.pool not in (DEFAULT_POOL, *pools):
        raise NotFound(
            f"spec.pool: no node pool is called {after.spec.pool!r}",
            hint=f"{_listed('node pools', pools)}; migctl node-pool create NAME",
        )


def check_pool_removal(pool: NodePool, nodes: Iterable[GpuNode], queues: Iterable[Project | Department]) -> None:
    """Raises Conflict where a node or a quota still names the pool."""
    name = pool.meta.name
    members = sorted(node.meta.name for node in nodes if node.spec.pool == name != DEFAULT_POOL)
    if members:
        raise Conflict(
            f"node pool {name} still has {len(members)} node(s): {', '.join(members)}",
            hint=f"migctl node set {members[0]} --node-pool {DEFAULT_POOL}",
        )
    quotas = sorted(queue.meta.name for queue in queues if name in queue.spec.pools and name != DEFAULT_POOL)
    if quotas:
        raise Conflict(
            f"{', '.join(quotas)} still has a quota for node pool {name}",
            hint=f"migctl project update {quotas[0]} --pool {name}=",
        )


def _quota(where: str, spec: QueueQuota) -> None:
    quota = 0.0 if spec.quota is None else spec.quota
    for field, value in (("quota", quota), ("limit", spec.limit)):
        if value != UNLIMITED and not 0 <= value <= MAX_GPUS:
            rule = f"{value:g} GPUs: must be between 0 and {MAX_GPUS:,}"
            raise _invalid(f"{where}.{field}", rule, hint="-1 means unlimited")
    if UNLIMITED != spec.limit < quota:
        raise _invalid(
            f"{where}.limit", f"{spec.limit:g} GPUs: must not be below the quota of {quota:g}", hint="-1: no limit"
        )
    _at_least_zero(f"{where}.overQuotaWeight", spec.over_quota_weight)


def _at_least_zero(field: str, number: float) -> None:
    if not 0 <= number < math.inf:
        raise _invalid(field, f"{number:g}: must be 0 or more")


def _seconds(field: str, number: float) -> None:
    if not 0 <= number <= MAX_DURATION_S:
        raise _invalid(field, f"{number:g} seconds: must be 0 or more, and at most ten years")


def check_removal(project: Project, workloads: Collection[Workload]) -> None:
    """Raises Conflict unless the project may be deleted: `workloads` are those it has."""
    if workloads:
        names = sorted(workload.meta.name for workload in workloads)
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise Conflict(
            f"project {project.meta.name!r} still has {len(names)} workload(s): {shown}",
            hint=f"delete them first: migctl delete -p {project.meta.name} {names[0]}",
        )


def check_department_removal(department: Department, projects: Iterable[Project]) -> None:
    """Raises Conflict where one of `projects` is still part of the department."""
    name = department.meta.name
    members = sorted(project.meta.name for project in projects if project.spec.department == name)
    if members:
        raise Conflict(
            f"department {name} still has {len(members)} project(s): {', '.join(members)}",
            hint="migctl project update PROJECT --no-department, or --department OTHER",
        )


def ranked(spec: WorkloadSpec) -> WorkloadSpec:
    """The spec with the priority that its type has; inference is never preemptible."""
    match spec.type:
        case WorkloadType.TRAINING | WorkloadType.DISTRIBUTED:
            return replace(spec, priority=priorities.TRAINING)
        case WorkloadType.WORKSPACE:
            return replace(
                spec, priority=priorities.INTERACTIVE_PREEMPTIBLE if spec.preemptible else priorities.INTERACTIVE
            )
        case WorkloadType.INFERENCE:
            return replace(spec, priority=priorities.INFERENCE, preemptible=False)


def check_name(name: str) -> None:
    """Raises Invalid for what Kubernetes takes for no name."""
    if not NAME.fullmatch(name):
        raise _bad_name("meta.name", name)


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises Invalid for what Kubernetes takes for no label."""
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if not LABEL.fullmatch(name) or (slash and not LABEL_PREFIX.fullmatch(prefix)):
            rule = f"{key!r} is no label's name: letters, digits, '-', '_' and '.', at most 63"
            raise _invalid("meta.labels", rule, hint="for example team=vision")
        if value and not LABEL.fullmatch(value):
            rule = f"{value!r} is no label's value: letters, digits, '-', '_' and '.', at most 63"
            raise _invalid(f"meta.labels.{key}", rule, hint="for example team=vision")


def _bad_name(field: str, name: str) -> Invalid:
    return _invalid(
        field,
        f"{name!r} is no name: lower-case letters, digits and '-', at most 63, '-' neither first nor last",
        hint="for example team-a",
    )


def _project(name: str, projects: Collection[Project]) -> None:
    known = sorted(project.meta.name for project in projects)
    listed = f"projects: {', '.join(known)}" if known else "there is none yet: migctl project create NAME --quota 1"
    if not name:
        raise _invalid("meta.project", "a workload needs a project", hint=listed)
    found = next((project for project in projects if project.meta.name == name), None)
    if found is None:
        raise NotFound(f"meta.project: no project is called {name!r}", hint=listed)
    if found.meta.deleting is not None:
        raise _invalid("meta.project", f"{name!r} is being deleted", hint=listed)


def _known_pools(field: str, names: Iterable[str], pools: Collection[str]) -> None:
    unknown = next((name for name in names if pools and name not in pools), None)
    if unknown is not None:
        raise NotFound(f"{field}: no node pool is called {unknown!r}", hint=_listed("node pools", pools))


def _listed(what: str, names: Collection[str]) -> str:
    return f"{what}: {', '.join(sorted(names))}" if names else ""


def _gpu_request(request: GpuRequest) -> None:
    if request.containers or request.container:
        raise _invalid(
            "spec.gpuRequest.containers",
            "a workload has one container",
            hint="pods of several are made of YAML for Kubernetes",
        )
    given = [
        name
        for name, value in (
            ("a fraction", request.fraction),
            ("memory", request.memory_mib),
            ("a MIG profile", request.profile),
        )
        if value is not None
    ]
    if len(given) > 1:
        raise _invalid("spec.gpuRequest", f"{' and '.join(given)} exclude each other", hint="request one of them")
    if request.fraction is not None and not 0 < request.fraction < 1:
        raise _invalid(
            "spec.gpuRequest.fraction",
            f"{request.fraction:g} is not above 0 and below 1",
            hint="whole GPUs are requested without a fraction, by their number",
        )
    if request.memory_mib is not None and request.memory_mib * MIB < SMALLEST_MEMORY:
        raise _invalid(
            "spec.gpuRequest.memoryMib", f"{request.memory_mib} MiB is less than 100 MB", hint="for example 5G"
        )
    _between("spec.gpuRequest.devices", request.devices, 1, MAX_DEVICES)


def _servable(request: GpuRequest, models: Collection[GpuModel]) -> None:
    """Some GPU of the cluster could serve it."""
    whose = "of this cluster"
    if request.model is not None:
        models = _of_model(request.model, models)
        whose = f"of model {request.model}"
    if request.profile is not None:
        _profile(request.profile, models, whose)
    if request.fraction is not None:
        _large_enough(request.fraction, models)


def _of_model(name: str, models: Iterable[GpuModel]) -> list[GpuModel]:
    by_name = {model.id.lower(): model for model in models}
    if name.lower() not in by_name:
        kin = [known for known in by_name if known.split("-")[0] == name.lower().split("-")[0]]
        close = get_close_matches(name.lower(), kin or by_name, n=1, cutoff=0.0 if kin else CLOSE)
        there = ", ".join(sorted(model.id for model in by_name.values()))
        raise _invalid(
            "spec.gpuRequest.model",
            f"no GPU of this cluster is of model {name!r}; there are {there}",
            hint=f"did you mean {by_name[close[0]].id}?" if close else "migctl gpus shows what there is",
        )
    return [by_name[name.lower()]]


def _large_enough(fraction: float, models: Iterable[GpuModel]) -> None:
    """A fraction gives as much memory as a request for memory must, on the largest GPU at least."""
    largest = max(models, key=lambda model: model.memory_mib)
    mib = int(fraction * largest.memory_mib)
    if mib * MIB < SMALLEST_MEMORY:
        raise _invalid(
            "spec.gpuRequest.fraction",
            f"{fraction:g} of the largest GPU, {largest.id}, is {mib} MiB: less than 100 MB",
            hint="for example 0.1",
        )


def _profile(name: str, models: Iterable[GpuModel], whose: str) -> None:
    valid = {profile.name: None for model in models for profile in model.profiles}
    if name in valid:
        return
    if not valid:
        raise _invalid(
            "spec.gpuRequest.profile",
            f"{name!r}: no GPU {whose} has MIG",
            hint="request memory or a fraction",
        )
    close = get_close_matches(name, valid, n=1, cutoff=CLOSE)
    raise _invalid(
        "spec.gpuRequest.profile",
        f"no GPU {whose} has a MIG profile {name!r}; there are {', '.join(valid)}",
        hint=f"did you mean {close[0]}?" if close else "migctl gpus shows what there is",
    )


def _pods(spec: WorkloadSpec) -> None:
    _between("spec.parallelism", spec.parallelism, 1, MAX_PODS)
    if spec.completions is not None:
        _between("spec.completions", spec.completions, 1, MAX_PODS)
    if spec.gang is not None:
        _between("spec.gang.size", spec.gang.size, 1, spec.parallelism)
    if spec.backoff_limit < 0:
        raise _invalid("spec.backoffLimit", f"{spec.backoff_limit}: must be 0 or more")
    if spec.ttl_after_finish_s is not None:
        _seconds("spec.ttlAfterFinishS", spec.ttl_after_finish_s)


def _process(spec: WorkloadSpec) -> None:
    """What the operating system takes as variables, arguments and a directory."""
    for variable, value in spec.environment.items():
        if not VARIABLE.fullmatch(variable):
            raise _invalid(
                "spec.environment",
                f"{variable!r} is no variable: letters, digits and '_', no digit first",
                hint="give NAME=VALUE",
            )
        _no_null(f"spec.environment.{variable}", value)
    for position, argument in enumerate(spec.command):
        _no_null(f"spec.command[{position}]", argument)
    _no_null("spec.directory", spec.directory)
    if spec.directory and not spec.directory.startswith("/"):
        raise _invalid("spec.directory", f"{spec.directory!r} does not begin with '/'", hint="give the whole path")


def _no_null(field: str, text: str) -> None:
    if "\0" in text:
        raise _invalid(field, "must not hold a null character")


def _between(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise _invalid(field, f"{value}: must be between {least} and {most}")


def _invalid(field: str, rule: str, hint: str = "") -> Invalid:
    return Invalid(f"{field}: {rule}", hint, field)


def gpu_request_of(text: str) -> GpuRequest:
    """0.5, 2, 10GB or 2g.10gb. Raises BadQuantity."""
    if _PROFILE_NAME.fullmatch(text):
        return GpuRequest(profile=text)
    if text[-1:].isalpha():
        return GpuRequest(memory_mib=flag_memory(text))
    count = fraction_or_gpus(text)
    return GpuRequest(fraction=count) if isinstance(count, float) else GpuRequest(devices=count)
