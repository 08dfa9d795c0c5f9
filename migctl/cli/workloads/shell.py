"""`exec` and `bash`: a program beside a running workload, with its environment and its GPUs.

The program replaces this process, so that its terminal, signals and exit code are its own. On a cluster that is
`kubectl exec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control, Execution
from migctl.cli.failures import Failure, usage
from migctl.cli.grammar import completion, options
from migctl.cli.grammar.lazy_groups import after_dashes
from migctl.cli.views.workloads import WorkloadName, find, one_workload

Stdin = Annotated[bool, typer.Option("-i", "--stdin", help="Always so.", hidden=True)]
Tty = Annotated[bool, typer.Option("-t", "--tty", help="Always so.", hidden=True)]


def exec_(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="NAME [COMMAND...]", show_default=False, autocompletion=completion.workloads)
    ],
    project: options.Project = None,
    stdin: Stdin = False,
    tty: Tty = False,
) -> None:
    """Run a command beside a workload.

    It sees the workload's environment and GPUs. Options come before NAME, or before `--`.
    """
    name, *command = words
    wanted = WorkloadName.read(name)
    command += after_dashes(context)
    if not command:
        raise usage("no command is given", hint=f"migctl exec {name} -- nvidia-smi")
    _execute(context, wanted, project, command)


def bash(
    context: typer.Context,
    names: options.OneWorkload,
    project: options.Project = None,
    stdin: Stdin = False,
    tty: Tty = False,
) -> None:
    """Open a shell beside a workload.

    It sees the workload's environment and GPUs.
    """
    _execute(context, one_workload(names), project, None)


def _execute(context: typer.Context, wanted: WorkloadName, project: str | None, command: Sequence[str] | None) -> None:
    """Replace this process by the command, or by a shell, beside the workload."""
    session = sessions.of(context)

    async def prepared(control: Control) -> Execution:
        chosen = await session.choose_project(control, project)
        workload = await find(control, chosen, wanted, session.noun)
        return await control.execution(chosen, workload.meta.name, command)

    execution = session.run(prepared)
    try:
        session.system.execute(execution.command, execution.environment, execution.directory)
    except OSError as error:
        raise Failure(
            f"{execution.command[0]!r} cannot be run beside {wanted.name}: {error.strerror}",
            hint=f"migctl bash {wanted.name} shows what there is in {execution.directory} and on its PATH",
        ) from error
