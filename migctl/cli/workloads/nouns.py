"""The noun-first grammar: `training`, `workspace`, `inference` and `workload`, over the same functions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from migctl.cli import options, session
from migctl.cli.failures import usage
from migctl.cli.grammar import APP_SETTINGS, PatientGroup, ShellCommand, WordsCommand, after_dashes
from migctl.cli.output.listings import view
from migctl.cli.workloads import describe, lifecycle, listing, shell, wait, why
from migctl.cli.workloads import output as outputs
from migctl.cli.workloads import submit as submitting
from migctl.objects import WorkloadType


class RequestType(StrEnum):
    """What kind of request the GPU flags make."""

    PORTION = "portion"
    MEMORY = "memory"
    MIG_PROFILE = "migProfile"


def submit(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Generated where it is left out.", show_default=False)] = None,
    image: options.Image = "",
    devices: Annotated[
        int | None, typer.Option("-g", "--gpu-devices-request", min=1, metavar="N", help="GPUs; whole ones if alone.")
    ] = None,
    kind: Annotated[
        RequestType | None, typer.Option("--gpu-request-type", help="Which of the requests below is meant.")
    ] = None,
    portion: Annotated[
        str | None, typer.Option("--gpu-portion-request", metavar="PART", help="A part of each GPU: 0.5.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--gpu-memory-request", metavar="SIZE", help="Memory of each GPU: 5G, 512Mi, 10GB.")
    ] = None,
    profile: options.MigProfile = None,
    preemptible: options.Preemptible = False,
    project: options.Project = None,
    variables: options.Variables = None,
    parallelism: options.Parallelism = None,
    completions: options.Completions = None,
    backoff_limit: options.BackoffLimit = None,
    ttl: options.Ttl = None,
    suspend: options.Suspended = False,
    pools: options.Pools = None,
    command: options.Command = False,
    dry_run: options.DryRun = False,
    output: options.Output = None,
) -> None:
    """Submit one.

    The words after -- are its command; without any it holds its share until it is deleted.
    """
    asked = session.of(context)
    assert asked.noun is not None
    _agree(kind, portion, memory, profile)
    wish = submitting.Wish(
        name=name,
        type=asked.noun,
        gpus=portion,
        memory=memory,
        profile=profile,
        devices=devices,
        image=image,
        command=after_dashes(context),
        environment=variables or (),
        preemptible=preemptible,
        parallelism=parallelism,
        completions=completions,
        backoff_limit=backoff_limit,
        ttl_after_finish=ttl,
        suspended=suspend,
        pools=pools or (),
    )
    submitting.submit(asked, wish, project, view(asked, output), dry_run)


def _agree(kind: RequestType | None, portion: str | None, memory: str | None, profile: str | None) -> None:
    """Refuse a request type whose request is missing, or that contradicts the request made."""
    flags = {
        RequestType.PORTION: ("--gpu-portion-request", portion),
        RequestType.MEMORY: ("--gpu-memory-request", memory),
        RequestType.MIG_PROFILE: ("--mig-profile", profile),
    }
    if kind is not None and flags[kind][1] is None:
        raise usage(f"--gpu-request-type {kind} without a request of that type", hint=f"add {flags[kind][0]}")


def _noun(type: WorkloadType | None, help: str) -> typer.Typer:
    app = typer.Typer(cls=PatientGroup, help=help, **APP_SETTINGS)

    def before_command(context: typer.Context) -> None:
        if type is not None:
            session.about(context, type)

    app.callback(help=help)(before_command)
    if type is not None:
        app.command("submit", cls=WordsCommand)(submit)
    app.command("list")(listing.list_workloads)
    app.command("describe")(describe.describe)
    app.command("why")(why.why)
    app.command("logs")(outputs.logs)
    app.command("exec", cls=ShellCommand)(shell.exec_)
    app.command("bash")(shell.bash)
    app.command("wait")(wait.wait)
    app.command("suspend")(lifecycle.suspend)
    app.command("resume")(lifecycle.resume)
    app.command("delete")(lifecycle.delete)
    return app


training = _noun(WorkloadType.TRAINING, "Trainings: preemptible, run to their end.")
workspace = _noun(WorkloadType.WORKSPACE, "Workspaces: interactive, run until deleted.")
inference = _noun(WorkloadType.INFERENCE, "Inference: serves, never preempted.")
workload = _noun(None, "Workloads of every type.")
