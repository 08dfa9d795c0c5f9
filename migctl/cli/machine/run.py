"""`run`: one command in a part of one of this machine's GPUs, with no daemon."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from migctl import quantities
from migctl.cli import session as sessions
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar.lazy_groups import after_dashes


def run(
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND...]", show_default=False)] = None,
    fraction: Annotated[
        str | None, typer.Option("-g", "--gpu", metavar="X", help="A part of the GPU's memory: 0.5.")
    ] = None,
    memory: Annotated[str | None, typer.Option("--gpu-memory", metavar="AMOUNT", help="So much of it: 5G.")] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="GPU", help="Index or UUID; else the one with the most left.")
    ] = None,
) -> None:
    """Run a command in a part of a GPU, without a daemon.

    Its programs see that much GPU memory and get no more. Options come before COMMAND, or before `--`.
    """
    command = [*(words or ()), *after_dashes(context)]
    if not command:
        raise usage("no command is given", hint="migctl run -g 0.5 -- python train.py")
    if (fraction is None) == (memory is None):
        raise usage("give one of -g and --gpu-memory", hint="migctl run -g 0.5 -- python train.py")
    from migctl.embedded import daemon, one_shot
    from migctl.embedded.home import Home

    wanted = one_shot.ShareRequest(
        portion=None if fraction is None else quantities.fraction(fraction),
        mib=None if memory is None else quantities.flag_memory(memory),
        gpu=device,
    )
    if daemon.Up.of(Home.default()) is not None:
        raise Failure(
            "migctl up shares this machine's GPUs already",
            hint="migctl submit -g 0.5 -- python train.py",
            code=ExitCode.CONFLICT,
        )
    try:
        code = one_shot.run(wanted, command, os.environ, lambda got: sessions.note(f"migctl: {got}"))
    except one_shot.NoRoom as error:
        raise Failure(str(error), hint=error.hint, code=ExitCode.UNSCHEDULABLE) from error
    except (FileNotFoundError, PermissionError) as error:
        raise Failure(f"{command[0]!r} cannot be run: {error.strerror}", hint=f"which {command[0]}") from error
    raise typer.Exit(code)
