"""Options that many commands share, as types: each means the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from migctl.cli.grammar import completion
from migctl.cli.output.formats import Format

Project = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--project",
        "-n",
        "--namespace",
        metavar="PROJECT",
        help="The project.",
        autocompletion=completion.projects,
    ),
]
AllProjects = Annotated[bool, typer.Option("-A", "--all-projects", help="All projects.")]
Output = Annotated[Format | None, typer.Option("-o", "--output", help="How to write it.", case_sensitive=False)]
NoHeaders = Annotated[bool, typer.Option("--no-headers", help="Leave out the header line.")]
SortBy = Annotated[str | None, typer.Option("--sort-by", metavar="COLUMN", help="Sort by this column.")]
Selector = Annotated[
    str | None,
    typer.Option("-l", "--selector", metavar="LABELS", help="Only these labels: a=b, a!=b, a, !a; joined by commas."),
]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Go on showing changes.")]
Mine = Annotated[bool, typer.Option("--mine", help="Only what you submitted.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "-f",
        "--filename",
        metavar="FILE",
        help="YAML or JSON: a file, a folder, or - for stdin; repeatable.",
        autocompletion=completion.files,
    ),
]
Recursive = Annotated[bool, typer.Option("-R", "--recursive", help="Folders with those below them.")]
Verdict = Annotated[
    bool,
    typer.Option(
        "--verdict", help="Say where it would start now or why it would wait (exit code 5), and create nothing."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be created, and create nothing.")]
Workloads = Annotated[
    list[str], typer.Argument(metavar="NAME...", show_default=False, autocompletion=completion.workloads)
]
OneWorkload = Annotated[
    list[str], typer.Argument(metavar="NAME", show_default=False, autocompletion=completion.workloads)
]
ProjectName = Annotated[str, typer.Argument(metavar="NAME", show_default=False, autocompletion=completion.projects)]
NodeName = Annotated[str, typer.Argument(metavar="NODE", show_default=False, autocompletion=completion.nodes)]
NodeNames = Annotated[list[str], typer.Argument(metavar="NODE...", show_default=False, autocompletion=completion.nodes)]
DepartmentName = Annotated[
    str, typer.Argument(metavar="NAME", show_default=False, autocompletion=completion.departments)
]
NewName = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]

Variables = Annotated[
    list[str] | None,
    typer.Option("-e", "--environment", metavar="NAME=VALUE", help="Environment variable; repeatable."),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Label, for list -l; repeatable.")
]
Parallelism = Annotated[int | None, typer.Option("--parallelism", min=1, metavar="N", help="Pods side by side.")]
Completions = Annotated[int | None, typer.Option("--completions", min=1, metavar="N", help="Pods that must succeed.")]
BackoffLimit = Annotated[
    int | None, typer.Option("--backoff-limit", min=0, metavar="N", help="Failed pods before the job is Failed.")
]
Ttl = Annotated[
    str | None, typer.Option("--ttl-after-finish", metavar="TIME", help="Delete it this long after its end: 90s, 2h.")
]
Suspended = Annotated[bool, typer.Option("--suspend", help="Create it suspended.")]
Pools = Annotated[
    list[str] | None,
    typer.Option(
        "--node-pools",
        metavar="POOLS",
        help="Node pools, in order of preference.",
        autocompletion=completion.node_pools,
    ),
]
Image = Annotated[str, typer.Option("-i", "--image", metavar="IMAGE", help="Container image.")]
MigProfile = Annotated[
    str | None,
    typer.Option(
        "--mig-profile",
        metavar="PROFILE",
        help="Exactly this MIG profile: 2g.10gb.",
        autocompletion=completion.profiles,
    ),
]
GpuModel = Annotated[
    str | None,
    typer.Option(
        "--gpu-model", metavar="MODEL", help="Only GPUs of this model: A100-40GB.", autocompletion=completion.models
    ),
]
Preemptible = Annotated[bool, typer.Option("--preemptible", help="May go over quota, and may be preempted.")]
NoMove = Annotated[
    bool, typer.Option("--no-move", help="Never moved to make room for others, though it may be preempted.")
]
Command = Annotated[
    bool, typer.Option("--command", help="On a cluster: the words after -- replace the image's entry point.")
]
