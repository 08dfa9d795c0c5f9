"""The verb-first grammar's own commands: `submit`, `list`, and those that accept a noun before a name."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.grammar import options
from migctl.cli.grammar.lazy_groups import after_dashes


class Noun(StrEnum):
    """What `list` lists."""

    JOBS = "jobs"
    NODES = "nodes"
    PROJECTS = "projects"


def list_(
    context: typer.Context,
    noun: Annotated[Noun, typer.Argument(help="What to list.")] = Noun.JOBS,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    output: options.Output = None,
    no_headers: options.NoHeaders = False,
    sort_by: options.SortBy = None,
    labels: options.Selector = None,
    watch: options.Watch = False,
) -> None:
    """List jobs, nodes or projects."""
    from migctl.cli.nodes import command
    from migctl.cli.output.listings import view
    from migctl.cli.queues import projects
    from migctl.cli.workloads import listing

    session = sessions.of(context)
    shown = view(session, output, not no_headers, sort_by)
    if noun is Noun.NODES:
        command.write(session, shown, labels, watch)
    elif noun is Noun.PROJECTS:
        projects.write(session, shown, labels, watch)
    else:
        listing.write(session, listing.v1(session.system.now), shown, project, all_projects, labels, watch)


def submit(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Generated where it is left out.", show_default=False)] = None,
    image: options.Image = "",
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
    """Submit a job, or an interactive one.

    The words after -- are its command; without any it holds its share until it is deleted.
    """
    from migctl.cli.output.listings import view
    from migctl.cli.workloads import submit as submitting
    from migctl.objects import WorkloadType

    session = sessions.of(context)
    wish = submitting.SubmitRequest(
        name=name,
        type=WorkloadType.WORKSPACE if interactive else WorkloadType.TRAINING,
        gpus=gpus,
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
