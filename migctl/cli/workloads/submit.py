"""`submit`, and the noun-first grammar's: from flags to a workload.

Both grammars fill in one SubmitRequest; what it may hold, and what follows from it, is said once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from migctl import admission, quantities
from migctl.backends.protocol import AlreadyExists
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.output.listings import OutputOptions, write_one
from migctl.cli.session import Session
from migctl.cli.views.workloads import request_text
from migctl.objects import GpuRequest, Meta, Workload, WorkloadSpec, WorkloadType

NAMES_TO_TRY = 10

IMAGE_NOTICE = (
    "note: without a cluster the command runs on this host as it is; the image is recorded only. This is said once."
)


@dataclass(frozen=True)
class SubmitRequest:
    """What a person asks to run, in their words.

    gpus      a fraction or a number of whole GPUs, as text; memory with its unit; profile by name
    devices   GPUs that each give the fraction, memory or profile
    entrypoint  the command replaces the image's own, on a cluster
    """

    name: str | None
    type: WorkloadType
    gpus: str | None = None
    memory: str | None = None
    profile: str | None = None
    devices: int | None = None
    image: str = ""
    command: tuple[str, ...] = ()
    entrypoint: bool = False
    environment: Sequence[str] = ()
    preemptible: bool = False
    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    ttl_after_finish: str | None = None
    suspended: bool = False
    pools: Sequence[str] = ()


def gpu_request(wish: SubmitRequest) -> GpuRequest:
    """The GPUs asked for: exactly one kind of request. Devices alone are whole GPUs."""
    given = {"-g": wish.gpus, "--gpu-memory": wish.memory, "--mig-profile": wish.profile}
    chosen = [flag for flag, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise usage(
            f"{' and '.join(chosen)} exclude each other: a request is a fraction, memory, a MIG profile or whole GPUs",
            hint=f"keep one of {', '.join(chosen)}",
        )
    devices = wish.devices or 1
    if wish.memory is not None:
        return GpuRequest(memory_mib=quantities.flag_memory(wish.memory), devices=devices)
    if wish.profile is not None:
        return GpuRequest(profile=wish.profile, devices=devices)
    if wish.gpus is not None:
        return _counted(wish.gpus, wish.devices)
    if wish.devices is None:
        raise usage("no GPU is asked for", hint="-g 0.5, -g 1, --gpu-memory 5G or --mig-profile 2g.10gb")
    return GpuRequest(devices=devices)


def _counted(gpus: str, devices: int | None) -> GpuRequest:
    count = quantities.fraction_or_gpus(gpus)
    if isinstance(count, float):
        return GpuRequest(fraction=count, devices=devices or 1)
    if devices is not None:
        raise usage(f"{gpus} GPUs on {devices} devices each is no request", hint="-g N, or -g FRACTION --gpu-devices N")
    return GpuRequest(devices=count)


def workload(wish: SubmitRequest, session: Session, project: str) -> Workload:
    """The workload that a wish describes, Raises Failure or BadQuantity where it breaks a rule."""
    spec = WorkloadSpec(
        type=wish.type,
        gpu_request=gpu_request(wish),
        image=wish.image,
        command=wish.command,
        entrypoint=wish.entrypoint,
        environment=environment(wish.environment),
        user=session.system.user,
        directory="" if session.target.cluster else session.system.directory,
        preemptible=wish.preemptible or wish.type is WorkloadType.TRAINING,
        suspended=wish.suspended,
        pools=tuple(pool for text in wish.pools for pool in re.split(r"[\s,]+", text) if pool),
        **_repetition(wish),
    )
    return Workload(meta=Meta(name=wish.name or "", project=project), spec=admission.ranked(spec))


def _repetition(wish: SubmitRequest) -> dict[str, Any]:
    given = {
        "parallelism": wish.parallelism,
        "completions": wish.completions,
        "backoff_limit": wish.backoff_limit,
        "ttl_after_finish_s": None if wish.ttl_after_finish is None else quantities.duration(wish.ttl_after_finish),
    }
    if wish.type is WorkloadType.WORKSPACE and (wish.parallelism or wish.completions):
        raise usage(
            "a workspace is one pod that runs until it is deleted", hint="leave out --parallelism and --completions"
        )
    return {name: value for name, value in given.items() if value is not None}


def environment(pairs: Sequence[str]) -> dict[str, str]:
    """`-e NAME=VALUE`, any number of times; the last one of a name counts."""
    for pair in pairs:
        if "=" not in pair:
            raise usage(f"-e {pair!r} does not set an environment variable", hint="-e NAME=VALUE")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def submit(session: Session, wish: SubmitRequest, project: str | None, view: OutputOptions, dry_run: bool) -> None:
    """Create the workload, and say what was created and what to type next."""

    async def created(control: Control) -> Workload:
        chosen = await session.choose_project(control, project)
        names = [wish.name] if wish.name else [session.system.random_name() for _ in range(NAMES_TO_TRY)]
        wanted = workload(wish, session, chosen)
        return await _create(control, wanted, names, dry_run)

    made = session.run(created)
    write_one(made, view, lambda: print(_summary(made, dry_run)))
    if view.format.for_people:
        _advise(session, made, project, dry_run)


async def _create(control: Control, wanted: Workload, names: Iterable[str], dry_run: bool) -> Workload:
    """Create it under the first of these names that is free."""
    project = wanted.meta.project
    for name in names:
        named = msgspec.structs.replace(wanted, meta=Meta(name=name, project=project))
        try:
            if not dry_run:
                return await control.create(named)
            await control.preview(named)
            return named
        except AlreadyExists:
            continue
    raise Failure(
        f"project {project} already has a workload {name!r}",
        hint=f"choose another name, or migctl delete {name} -p {project}",
        code=ExitCode.CONFLICT,
    )


def _summary(made: Workload, dry_run: bool) -> str:
    verb = "Would submit" if dry_run else "Submitted"
    wanted = request_text(made.spec.gpu_request)
    return f"{verb} {made.spec.type} {made.meta.name} to project {made.meta.project}: {wanted}"


def _advise(session: Session, made: Workload, project: str | None, dry_run: bool) -> None:
    if dry_run:
        return
    if made.spec.image and not session.target.cluster:
        sessions.tell_once(session, "image", IMAGE_NOTICE)
    named = project or session.project
    elsewhere = f" -p {named}" if named and named != session.kept_setting("project") else ""
    sessions.note(f"next: migctl describe {made.meta.name}{elsewhere}")
