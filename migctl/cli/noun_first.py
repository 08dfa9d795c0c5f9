"""The noun-first grammar: `training`, `workspace`, `inference` and `workload`, over the same functions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

import typer

from migctl.cli import session as sessions
from migctl.cli.failures import usage
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import APP_SETTINGS, Lazy, LazyGroup, WordsCommand
from migctl.cli.grammar.submit_options import GpuFlags, GrammarOptions
from migctl.cli.grammar.verbs import FILES, VERBS
from migctl.cli.session import Session
from migctl.cli.submit_command import submit_command

LONGEST_NUMBER = 9


class RequestType(StrEnum):
    """What kind of request the GPU flags make."""

    PORTION = "portion"
    MEMORY = "memory"
    MIG_PROFILE = "migProfile"


def _requested(
    session: Session,
    devices: Annotated[
        str | None, typer.Option("-g", "--gpu-devices-request", metavar="N", help="GPUs; whole ones if alone.")
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
) -> GrammarOptions:
    from migctl.objects import WorkloadType

    assert session.noun is not None
    _agree(kind, portion, memory, profile)
    return GrammarOptions(WorkloadType(session.noun), portion, memory, profile, _devices(devices), FLAGS)


FLAGS = GpuFlags("--gpu-portion-request", "--gpu-memory-request", "--mig-profile", "--gpu-devices-request")


def _devices(text: str | None) -> int | None:
    """A number of GPUs: a part of one is another flag here."""
    if text is None:
        return None
    if text.isdecimal() and text.isascii() and len(text) <= LONGEST_NUMBER and int(text) > 0:
        return int(text)
    hint = "--gpu-portion-request 0.5 asks for a part of each GPU"
    raise usage(f"{FLAGS.devices} {text} is no number of GPUs", hint=hint)


submit = submit_command(_requested, "Submit one.")


def _agree(kind: RequestType | None, portion: str | None, memory: str | None, profile: str | None) -> None:
    """Refuse a request type whose request is missing, or that contradicts the request made."""
    flags = {
        RequestType.PORTION: ("--gpu-portion-request", portion),
        RequestType.MEMORY: ("--gpu-memory-request", memory),
        RequestType.MIG_PROFILE: ("--mig-profile", profile),
    }
    if kind is not None and flags[kind][1] is None:
        raise usage(f"--gpu-request-type {kind} without a request of that type", hint=f"add {flags[kind][0]}")


LIST = Lazy("migctl.cli.workloads.listing:list_workloads", "List workloads and what they hold.")


class Verbs(LazyGroup):
    """What every noun can do."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {"Commands": {"list": LIST, **VERBS}}


class AnyWorkloadVerbs(Verbs):
    """What the noun of all workloads can do: files may describe any of them."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {"Commands": {"list": LIST, **FILES, **VERBS}}


class SubmittedVerbs(Verbs):
    """What a noun that can be submitted can do."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {
        "Commands": {"submit": Lazy("migctl.cli.noun_first:submit", "Submit one.", WordsCommand), "list": LIST, **VERBS}
    }


def _noun(name: str | None, help: str) -> typer.Typer:
    app = typer.Typer(cls=AnyWorkloadVerbs if name is None else SubmittedVerbs, help=help, **APP_SETTINGS)

    def before_command(context: typer.Context) -> None:
        if name is not None:
            sessions.about(context, name)

    app.callback(help=help)(before_command)
    return app


training = _noun("training", "Trainings: preemptible, run to their end.")
workspace = _noun("workspace", "Workspaces: interactive, run until deleted.")
inference = _noun("inference", "Inference: serves, never preempted.")
workload = _noun(None, "Workloads of every type.")
