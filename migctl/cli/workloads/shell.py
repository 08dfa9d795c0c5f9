"""`exec` and `bash`: a program beside a running workload, with its environment and its GPUs.

The program takes this process's place, so that its terminal, signals and exit code are its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from migctl.cli import options, session
from migctl.cli.control import Control
from migctl.cli.failures import Failure, usage
from migctl.cli.grammar import after_dashes
from migctl.cli.workloads.jobs import find

SHELLS = ("bash", "sh")

Stdin = Annotated[bool, typer.Option("-i", "--stdin", help="Always so.", hidden=True)]
Tty = Annotated[bool, typer.Option("-t", "--tty", help="Always so.", hidden=True)]


def exec_(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="NAME [COMMAND...]", show_default=False)],
    project: options.Project = None,
    stdin: Stdin = False,
    tty: Tty = False,
) -> None:
    """Run a command beside a workload.

    It sees the workload's environment and GPUs. Options come before NAME, or before `--`.
    """
    name, *command = words
    command += after_dashes(context)
    if not command:
        raise usage("no command is given", hint=f"migctl exec {name} -- nvidia-smi")
    _become(context, name, project, lambda _: command)


def bash(
    context: typer.Context,
    name: options.Name,
    project: options.Project = None,
    stdin: Stdin = False,
    tty: Tty = False,
) -> None:
    """Open a shell beside a workload.

    It sees the workload's environment and GPUs.
    """

    def shell(environment: Mapping[str, str]) -> Sequence[str]:
        path = environment.get("PATH")
        return [next((shell for shell in SHELLS if shutil.which(shell, path=path)), SHELLS[-1])]

    _become(context, name, project, shell)


def _become(
    context: typer.Context, name: str, project: str | None, command: Callable[[Mapping[str, str]], Sequence[str]]
) -> None:
    asked = session.of(context)

    async def prepared(control: Control) -> tuple[Mapping[str, str], str]:
        chosen = await asked.choose_project(control, project)
        workload = await find(control, chosen, name, asked.noun)
        beside = await control.exec_environment(chosen, workload.meta.name)
        return beside.environment, beside.directory

    environment, directory = asked.run(prepared)
    words = command(environment)
    try:
        asked.world.execute(words, environment, directory)
    except OSError as error:
        raise Failure(
            f"{words[0]!r} cannot be run beside {name}: {error.strerror}",
            hint=f"migctl bash {name} shows what there is in {directory} and on its PATH",
        ) from error
