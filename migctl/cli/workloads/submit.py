"""`submit` of both grammars: from options to a workload, and the messages about it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from migctl import admission, quantities
from migctl.backends.protocol import AlreadyExists, Invalid, NotFound
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, refusal, usage
from migctl.cli.grammar.submit_options import GpuFlags, GrammarOptions, SubmitOptions
from migctl.cli.output.listings import view, write_one
from migctl.cli.session import Session
from migctl.cli.views.workloads import request_text
from migctl.cli.workloads import verdict
from migctl.objects import GpuRequest, Meta, Workload, WorkloadSpec, WorkloadType, WorkloadVerdict

R = TypeVar("R")
NAMES_TO_TRY = 10

IMAGE_NOTICE = (
    "note: without a cluster the command runs on this host as it is; the image is recorded only. This is said once."
)


def gpu_request(given: GrammarOptions) -> GpuRequest:
    """The GPU request that the flags make: exactly one kind. Devices alone are whole GPUs."""
    called = given.flags
    flags = {called.gpus: given.gpus, called.memory: given.memory, called.profile: given.profile}
    chosen = [flag for flag, value in flags.items() if value is not None]
    if len(chosen) > 1:
        raise usage(
            f"{' and '.join(chosen)} exclude each other: a request is a fraction, memory, a MIG profile or whole GPUs",
            hint=f"keep one of {', '.join(chosen)}",
        )
    devices = given.devices or 1
    if given.memory is not None:
        return GpuRequest(memory_mib=quantities.flag_memory(given.memory), devices=devices)
    if given.profile is not None:
        return GpuRequest(profile=given.profile, devices=devices)
    if given.gpus is not None:
        return _counted(given.gpus, given.devices, called)
    if given.devices is None:
        whole = called.gpus if called.gpus == "-g" else called.devices
        asks = f"{called.gpus} 0.5, {whole} 1, {called.memory} 5G or {called.profile} 2g.10gb"
        raise usage("no GPU is asked for", hint=asks)
    return GpuRequest(devices=devices)


def _counted(gpus: str, devices: int | None, called: GpuFlags) -> GpuRequest:
    count = quantities.fraction_or_gpus(gpus)
    if isinstance(count, float):
        return GpuRequest(fraction=count, devices=devices or 1)
    if devices is not None:
        raise usage(
            f"{gpus} GPUs on {devices} devices each is no request",
            hint=f"{called.devices} N, or {called.gpus} FRACTION {called.devices} N",
        )
    return GpuRequest(devices=count)


def workload(
    session: Session, own: GrammarOptions, given: SubmitOptions, command: tuple[str, ...], project: str, user: str
) -> Workload:
    """The workload that the options describe. Raises Failure or BadQuantity where one breaks a rule.

    user  as the control plane knows its users: on a cluster the one of the kubeconfig, as `whoami` says
    """
    spec = WorkloadSpec(
        type=own.type,
        gpu_request=msgspec.structs.replace(gpu_request(own), model=given.model),
        image=given.image,
        command=command,
        entrypoint=given.command,
        environment=pairs(given.variables or (), "-e", "set an environment variable"),
        user=user,
        directory="" if session.target.elsewhere else session.system.directory,
        preemptible=given.preemptible or own.type is WorkloadType.TRAINING,
        movable=not given.no_move,
        suspended=given.suspend,
        pools=tuple(pool for text in given.pools or () for pool in re.split(r"[\s,]+", text) if pool),
        **_repetition(own.type, given),
    )
    labels = pairs(given.labels or (), "--label", "set a label")
    return Workload(meta=Meta(name=given.name or "", project=project, labels=labels), spec=admission.ranked(spec))


def _repetition(kind: WorkloadType, given: SubmitOptions) -> dict[str, Any]:
    counts = {
        "parallelism": given.parallelism,
        "completions": given.completions,
        "backoff_limit": given.backoff_limit,
        "ttl_after_finish_s": None if given.ttl is None else quantities.duration(given.ttl),
    }
    if kind is WorkloadType.WORKSPACE and (given.parallelism or given.completions):
        raise usage(
            "a workspace is one pod that runs until it is deleted", hint="leave out --parallelism and --completions"
        )
    return {name: value for name, value in counts.items() if value is not None}


def pairs(texts: Sequence[str], flag: str, purpose: str) -> dict[str, str]:
    """`NAME=VALUE`, any number of times; the last one of a name counts."""
    for text in texts:
        if "=" not in text:
            raise usage(f"{flag} {text!r} does not {purpose}", hint=f"{flag} NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def submit(session: Session, own: GrammarOptions, given: SubmitOptions, command: tuple[str, ...]) -> None:
    """Create the workload, and say what was created and what to type next; or say what would become of it."""
    if given.verdict and given.dry_run:
        raise usage("--verdict and --dry-run exclude each other", hint="both create nothing: keep one")

    async def created(control: Control) -> tuple[Workload, WorkloadVerdict | None]:
        project = await session.choose_project(control, given.project)
        names = [given.name] if given.name else [session.system.random_name() for _ in range(NAMES_TO_TRY)]
        user = (await control.identity()).user
        wanted = workload(session, own, given, command, project, user)
        if given.verdict:
            return await _under_a_free_name(wanted, names, lambda named: _judge(control, named))
        return await _under_a_free_name(wanted, names, lambda named: _create(control, named, given.dry_run)), None

    shown = view(session, given.output)
    try:
        made, judged = session.run(created)
    except (Invalid, NotFound) as error:
        raise refusal(error, own.flags.by_field) from error
    if judged is not None:
        verdict.show(made, judged, shown)
        return
    write_one(made, shown, lambda: print(_summary(made, given.dry_run)))
    if shown.format.human_readable:
        _advise(session, made, given.project, given.dry_run)


async def _create(control: Control, named: Workload, dry_run: bool) -> Workload:
    if not dry_run:
        return await control.create(named)
    await control.preview(named)
    return named


async def _judge(control: Control, named: Workload) -> tuple[Workload, WorkloadVerdict]:
    return named, await control.verdict(named)


async def _under_a_free_name(wanted: Workload, names: Iterable[str], use: Callable[[Workload], Awaitable[R]]) -> R:
    """What `use` makes of the workload under the first of these names that is free."""
    project = wanted.meta.project
    for name in names:
        named = msgspec.structs.replace(wanted, meta=msgspec.structs.replace(wanted.meta, name=name))
        try:
            return await use(named)
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
        sessions.note_once(session, "image", IMAGE_NOTICE)
    named = project or session.project
    elsewhere = f" -p {named}" if named and named != session.stored_setting("project") else ""
    sessions.note(f"next: migctl describe {made.meta.name}{elsewhere}")
