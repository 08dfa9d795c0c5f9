"""The verb-first grammar's own commands: `submit`, `list`, and the GPU request of its `submit`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.failures import usage
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

    @classmethod
    def of(cls, word: str) -> Noun:
        """By its singular or plural. Raises Failure."""
        words = {name: noun for noun in cls for name in (noun.value, noun.value.removesuffix("s"))}
        words |= {"workload": cls.JOBS, "workloads": cls.JOBS}
        if word not in words:
            raise usage(f"{word!r} is nothing to list", hint=f"one of {', '.join(cls)}")
        return words[word]


@grouped
def list_(
    context: typer.Context,
    *,
    what: Annotated[str, typer.Argument(metavar="[jobs|nodes|projects]", help="What to list.")] = Noun.JOBS.value,
    project: options.Project = None,
    all_projects: options.AllProjects = False,
    listed: ListOptions,
    labels: options.Selector = None,
    watch: options.Watch = False,
    mine: options.Mine = False,
) -> None:
    """List jobs, nodes or projects."""
    session = sessions.of(context)
    noun, shown = Noun.of(what), listed.view(session)
    if mine and noun is not Noun.JOBS:
        raise usage(f"--mine is about jobs: {noun} are nobody's own", hint="migctl list jobs --mine")
    if noun is Noun.NODES:
        from migctl.cli.nodes import listing as nodes

        nodes.write(session, shown, labels, watch)
    elif noun is Noun.PROJECTS:
        from migctl.cli.queues import projects

        projects.write(session, shown, labels, watch)
    else:
        from migctl.cli.workloads import listing

        listing.write(
            session, listing.v1(session.system.now, all_projects), shown, project, all_projects, labels, watch, mine
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
