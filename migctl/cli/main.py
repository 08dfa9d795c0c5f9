"""The entry points of `migctl` and of kubectl's plugin: run a command and answer with an exit code.

Nothing is imported here that only some commands need: `--help` and completion are quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from migctl.cli import failures
from migctl.cli.failures import ExitCode
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import (
    APP_SETTINGS,
    WHERE,
    Lazy,
    LazyGroup,
    ShellCommand,
    WordsCommand,
    refuse_empty_words,
)
from migctl.cli.grammar.verbs import FILES, VERBS

if TYPE_CHECKING:
    from migctl.cli.session import System


class Commands(LazyGroup):
    """Both grammars' first words."""

    table: ClassVar[dict[str, dict[str, Lazy]]] = {
        "Workloads": {
            "submit": Lazy("migctl.cli.verb_first:submit", "Submit a job, or an interactive one.", WordsCommand),
            **FILES,
            "list": Lazy("migctl.cli.verb_first:list_", "List jobs, nodes or projects."),
            **VERBS,
        },
        "Workloads, noun first": {
            "training": Lazy("migctl.cli.noun_first:training", "Trainings: preemptible, run to their end."),
            "workspace": Lazy("migctl.cli.noun_first:workspace", "Workspaces: interactive, run until deleted."),
            "inference": Lazy("migctl.cli.noun_first:inference", "Inference: serves, never preempted."),
            "workload": Lazy("migctl.cli.noun_first:workload", "Workloads of every type."),
        },
        "GPUs and plans": {
            "gpus": Lazy("migctl.cli.gpus.command:gpus", "Show a map of every GPU, live with -w."),
            "node": Lazy("migctl.cli.nodes.command:app", "Nodes and their GPUs."),
            "node-pool": Lazy("migctl.cli.nodes.pools:app", "Node pools: nodes with quotas of their own."),
            "plan": Lazy("migctl.cli.plans.history:app", "Plans: what was decided, and why."),
            "top": Lazy("migctl.cli.nodes.top:top", "Rank jobs or nodes by what they use."),
            "simulate": Lazy(
                "migctl.cli.simulate:simulate", "Simulate days of demand, the same under each policy.", anywhere=False
            ),
            "events": Lazy("migctl.cli.events:events", "Show what happened."),
        },
        "Projects and people": {
            "project": Lazy("migctl.cli.queues.projects:app", "Projects: queues with quota."),
            "department": Lazy("migctl.cli.queues.departments:app", "Departments: projects that share a quota."),
            "config": Lazy("migctl.cli.identity.who:config", "Settings of this user."),
            "context": Lazy(
                "migctl.cli.identity.contexts:app", "Contexts: the control planes that commands can be about."
            ),
            "whoami": Lazy("migctl.cli.identity.who:whoami", "Show who you are to the control plane."),
            "login": Lazy("migctl.cli.identity.login:login", "Sign in to a server, and make commands be about it."),
            "logout": Lazy("migctl.cli.identity.login:logout", "Forget a server and its token."),
            "token": Lazy("migctl.cli.identity.tokens:app", "Tokens: what programs sign in with."),
            "access": Lazy("migctl.cli.identity.rules:app", "Access: which user may do what, and where."),
            "audit": Lazy(
                "migctl.cli.identity.audit:audit", "Show who did what: changes and sign-ins, the newest last."
            ),
            "web": Lazy(
                "migctl.cli.identity.web:web", "Print a link that signs a browser in: once, within two minutes."
            ),
        },
        "This machine": {
            "run": Lazy(
                "migctl.cli.machine.run:run",
                "Run a command in a part of a GPU, without a daemon.",
                ShellCommand,
                anywhere=False,
            ),
            "up": Lazy("migctl.cli.machine.daemon:up", "Share this machine's GPUs, or simulated ones.", anywhere=False),
            "down": Lazy("migctl.cli.machine.daemon:down", "Stop sharing.", anywhere=False),
            "doctor": Lazy(
                "migctl.cli.machine.doctor:doctor", "Check this machine, and say what to do.", anywhere=False
            ),
            "version": Lazy("migctl.cli.identity.who:version", "Show the version of migctl.", anywhere=False),
        },
    }


@dataclass
class Start:
    """What a run begins with; `debug` is the flag's value. The system is made when it is needed."""

    system: Callable[[], System]
    debug: bool = False


def _real() -> System:
    from migctl.cli import system

    return system.real()


app = typer.Typer(name="migctl", cls=Commands, **{**APP_SETTINGS, "add_completion": True})


def _version(wanted: bool) -> None:
    if wanted:
        from migctl.cli.identity import who

        print(f"migctl {who.number()}")
        raise typer.Exit


@app.callback()
def before_command(
    context: typer.Context,
    project: options.Project = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FORMAT", help="table, wide, json, yaml or name.")
    ] = None,
    control_plane: Annotated[str | None, typer.Option("--context", metavar="CONTEXT", help=WHERE["context"])] = None,
    kubeconfig: Annotated[
        str | None, typer.Option("--kubeconfig", metavar="KUBECONFIG", help=WHERE["kubeconfig"])
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MIGCTL_DEBUG", help="Show where an error comes from.")
    ] = False,
) -> None:
    """Share NVIDIA GPUs: fractions, memory and MIG profiles, planned around running work."""
    from migctl.cli.session import Session

    start = context.obj
    start.debug = debug
    context.obj = Session(start.system(), project, output, context=control_plane, kubeconfig=kubeconfig)


def run(arguments: Sequence[str], system: System | None = None, program: str = "migctl") -> int:
    """The exit code of one command line. What went wrong is on stderr."""
    start = Start(_real if system is None else lambda: system)
    try:
        command = typer.main.get_command(app)
        refuse_empty_words(command)
        outcome = command.main(list(arguments), program, standalone_mode=False, obj=start)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else ExitCode.OK
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return _unread()
    except BrokenPipeError:
        return _unread()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if start.debug:
            import traceback

            traceback.print_exception(error)
        return _report(error)


def _unread() -> int:
    """Whoever read our output has read enough: that is no error. Nothing more is written when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return ExitCode.OK


def _report(error: Exception) -> int:
    failure = failures.translate(error) or failures.Failure(
        f"this is a defect of migctl: {type(error).__name__}: {error}", hint="see where, with: migctl --debug ..."
    )
    sys.stderr.write(failure.lines())
    return failure.code


def main() -> None:
    """As `migctl`."""
    sys.exit(run(sys.argv[1:]))


def plugin() -> None:
    """As `kubectl migctl`: commands are about a cluster, never about this machine's own control plane."""
    from migctl.cli import system

    sys.exit(run(sys.argv[1:], system.real(clusters_only=True), "kubectl migctl"))
