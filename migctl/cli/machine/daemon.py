"""`up` and `down`: the control plane of this machine."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Annotated

import typer

from migctl import quantities
from migctl.backends.workload_status import holds
from migctl.cli import session as sessions
from migctl.cli.contexts.context import LOCAL
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
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
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="Serve REST and remote commands on TCP, too."),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option("--tls-cert", metavar="FILE", help="Its certificate; beyond loopback one is made.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key.")] = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Come back when it is ready; it goes on.")] = False,
) -> None:
    """Share this machine's GPUs, or simulated ones.

    Runs until it is interrupted; with --detach, until `migctl down`.
    """
    from migctl.api.tcp.options import ListenOptions
    from migctl.embedded import daemon

    if listen is None and (tls_cert or tls_key):
        raise usage("--tls-cert and --tls-key are about --listen", hint="for example --listen 0.0.0.0:8443")
    home = Home.default()
    options = None if listen is None else ListenOptions(listen, _absolute(tls_cert), _absolute(tls_key))
    pid = daemon.start(home, simulate, detach=detach, listen=options)
    if detach:
        print(f"migctl is up: pid {pid}, {home.path}")
        if told := daemon.listening(home):
            print(told)
        sessions.note("next: migctl gpus, or migctl submit -g 0.5")


def _absolute(file: str | None) -> str:
    return os.path.abspath(file) if file else ""


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
