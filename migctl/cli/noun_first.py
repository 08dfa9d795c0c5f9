"""The noun-first grammar: `training`, `workspace`, `inference` and `workload`, over the same functions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import typer

from migctl.cli import session as sessions
from migctl.cli.failures import usage
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, Lazy, LazyGroup, ShellCommand, WordsCommand, after_dashes


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
    from migctl.cli.output.listings import view
    from migctl.cli.workloads import submit as submitting
    from migctl.objects import WorkloadType

    session = sessions.of(context)
    assert session.noun is not None
    _agree(kind, portion, memory, profile)
    wish = submitting.SubmitRequest(
        name=name,
        type=WorkloadType(session.noun),
        gpus=portion,
        memory=memory,
        profile=profile,
        devices=devices,
        image=image,
        command=after_dashes(context),
        entrypoint=command,
        environment=variables or (),
        preemptible=preemptible,
        parallelism=parallelism,
        completions=completions,
        backoff_limit=backoff_limit,
        ttl_after_finish=ttl,
        suspended=suspend,
        pools=pools or (),
    )
    submitting.submit(session, wish, project, view(session, output), dry_run)


def _agree(kind: RequestType | None, portion: str | None, memory: str | None, profile: str | None) -> None:
    """Refuse a request type whose request is missing, or that contradicts the request made."""
    flags = {
        RequestType.PORTION: ("--gpu-portion-request", portion),
        RequestType.MEMORY: ("--gpu-memory-request", memory),
        RequestType.MIG_PROFILE: ("--mig-profile", profile),
    }
    if kind is not None and flags[kind][1] is None:
        raise usage(f"--gpu-request-type {kind} without a request of that type", hint=f"add {flags[kind][0]}")


class Verbs(LazyGroup):
    """What every noun can do."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {
        "Commands": {
            "list": Lazy("migctl.cli.workloads.listing:list_workloads", "List workloads and what they hold."),
            "describe": Lazy("migctl.cli.workloads.describe:describe", "Show everything about a workload."),
            "why": Lazy("migctl.cli.workloads.why:why", "Explain why a workload waits, or runs where it does."),
            "logs": Lazy("migctl.cli.workloads.output:logs", "Show what a workload wrote."),
            "exec": Lazy("migctl.cli.workloads.shell:exec_", "Run a command beside a workload.", ShellCommand),
            "bash": Lazy("migctl.cli.workloads.shell:bash", "Open a shell beside a workload."),
            "wait": Lazy("migctl.cli.workloads.wait:wait", "Wait until a workload runs, ends or is gone."),
            "suspend": Lazy("migctl.cli.workloads.lifecycle:suspend", "Stop workloads and free their GPUs."),
            "resume": Lazy("migctl.cli.workloads.lifecycle:resume", "Start suspended workloads again."),
            "delete": Lazy("migctl.cli.workloads.lifecycle:delete", "Delete workloads."),
        },
    }


class SubmittedVerbs(Verbs):
    """What a noun that can be submitted can do."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {
        "Commands": {
            "submit": Lazy("migctl.cli.noun_first:submit", "Submit one.", WordsCommand),
            **Verbs.table["Commands"],
        },
    }


def _noun(name: str | None, help: str) -> typer.Typer:
    app = typer.Typer(cls=Verbs if name is None else SubmittedVerbs, help=help, **APP_SETTINGS)

    def before_command(context: typer.Context) -> None:
        if name is not None:
            sessions.about(context, name)

    app.callback(help=help)(before_command)
    return app


training = _noun("training", "Trainings: preemptible, run to their end.")
workspace = _noun("workspace", "Workspaces: interactive, run until deleted.")
inference = _noun("inference", "Inference: serves, never preempted.")
workload = _noun(None, "Workloads of every type.")
