"""`up` and `down`: the control plane of this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from migctl import quantities
from migctl.backends.workload_status import holds
from migctl.cli import session as sessions
from migctl.cli.contexts.context import LOCAL
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure
from migctl.cli.output import watching
from migctl.cli.session import Session
from migctl.embedded.home import Home
from migctl.objects import Claim, Workload


def up(
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="GPUS",
            help="Simulated GPUs instead: a100-40gb=2,v100=1; on nodes: a:v100=2,b:v100=2.",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Come back when it is ready; it goes on.")] = False,
) -> None:
    """Share this machine's GPUs, or simulated ones.

    Runs until it is interrupted; with --detach, until `migctl down`.
    """
    from migctl.embedded import daemon

    home = Home.default()
    pid = daemon.start(home, simulate, detach=detach)
    if detach:
        print(f"migctl is up: pid {pid}, {home.path}")
        sessions.note("next: migctl gpus, or migctl submit -g 0.5")


def down(
    context: typer.Context,
    workloads: Annotated[bool, typer.Option("--workloads", help="Delete all workloads first.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="With --workloads: how long they may take to end.")
    ] = "60s",
) -> None:
    """Stop sharing.

    Workloads go on, and `up` finds them again, unless --workloads deletes them first.
    """
    from migctl.embedded import daemon

    seconds = quantities.duration(timeout)
    home = Home.default()
    going_on = 0
    own = replace(sessions.of(context), context=LOCAL)
    if workloads:
        _delete_all(own, seconds)
    elif daemon.Up.of(home) is not None:
        going_on = own.run(_running)
    daemon.stop(home)
    who = "1 workload keeps" if going_on == 1 else f"{going_on} workloads keep"
    stay = f"; {who} running, and migctl up finds them again"
    print("migctl is down" + (stay if going_on else ""))
    if going_on:
        sessions.note("to end them too: migctl up --detach, then migctl down --workloads")


async def _running(control: Control) -> int:
    """How many workloads hold a share."""
    return len({claim.spec.workload_uid for claim in (await control.list(Claim)).items if holds(claim)})


def _delete_all(own: Session, seconds: float) -> None:
    async def deleted(control: Control) -> None:
        for workload in (await control.list(Workload)).items:
            await control.delete(workload)

        async def look() -> bool:
            return bool((await control.list(Workload)).items or (await control.list(Claim)).items)

        async with asyncio.timeout(seconds):
            await watching.follow(control, (Workload, Claim), look)

    try:
        own.run(deleted)
    except TimeoutError:
        raise Failure(
            f"workloads still run after {seconds:g} seconds; migctl was not stopped",
            hint="migctl list -A",
            code=ExitCode.TIMEOUT,
        ) from None
