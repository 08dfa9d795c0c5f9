"""The verb-first grammar's own commands: `submit`, `list`, and the GPU request of its `submit`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.grammar import options
from migctl.cli.grammar.option_groups import ListOptions, grouped
from migctl.cli.grammar.submit_options import GrammarOptions
from migctl.cli.session import Session
from migctl.cli.submit_command import submit_command


class Noun(StrEnum):
    """What `list` lists."""

    JOBS = "jobs"
    NODES = "nodes"
    PROJECTS = "projects"


@grouped
def list_(
    context: typer.Context,
    *,
    noun: Annotated[Noun, typer.Argument(help="What to list.")] = Noun.JOBS,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    listed: ListOptions,
    labels: options.Selector = None,
    watch: options.Watch = False,
) -> None:
    """List jobs, nodes or projects."""
    session = sessions.of(context)
    shown = listed.view(session)
    if noun is Noun.NODES:
        from migctl.cli.nodes import command

        command.write(session, shown, labels, watch)
    elif noun is Noun.PROJECTS:
        from migctl.cli.queues import projects

        projects.write(session, shown, labels, watch)
    else:
        from migctl.cli.workloads import listing

        listing.write(
            session, listing.v1(session.system.now, all_projects), shown, project, all_projects, labels, watch
        )


def _requested(
    session: Session,
    gpus: Annotated[
        str | None, typer.Option("-g", "--gpu", metavar="GPUS", help="A part of a GPU (0.5), or whole ones (2).")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--gpu-memory", metavar="SIZE", help="GPU memory: 5G, 512Mi, 10GB.")
    ] = None,
    profile: options.MigProfile = None,
    devices: Annotated[
        int | None, typer.Option("--gpu-devices", min=1, metavar="N", help="The same part on each of N GPUs.")
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="A workspace: runs until deleted.")] = False,
) -> GrammarOptions:
    from migctl.objects import WorkloadType

    kind = WorkloadType.WORKSPACE if interactive else WorkloadType.TRAINING
    return GrammarOptions(kind, gpus, memory, profile, devices)


submit = submit_command(_requested, "Submit a job, or an interactive one.")
