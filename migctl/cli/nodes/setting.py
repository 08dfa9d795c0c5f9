"""`node set`: the MIG mode that is wished of a node's GPUs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import completion
from migctl.cli.nodes import found
from migctl.cli.output import watching
from migctl.objects import DynamicMig, GpuNode

SWITCH_S = 90.0  # enabling takes a driver 4 to 6 s per GPU, of which a node has eight


def set_node(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Which node; the only one by default.", autocompletion=completion.nodes),
    ] = None,
    dynamic_mig: Annotated[
        str, typer.Option("--dynamic-mig", metavar="on|off", help="MIG mode of the node's GPUs.")
    ] = "",
) -> None:
    """Switch a node's dynamic MIG on or off.

    A GPU that is in use is refused, and then nothing is changed (exit code 4). Ampere GPUs wait for a reset.
    """
    if dynamic_mig not in ("on", "off"):
        said = f"--dynamic-mig {dynamic_mig} is neither on nor off" if dynamic_mig else "say what to set"
        raise usage(said, hint="migctl node set NODE --dynamic-mig on, or off")
    session = sessions.of(context)
    node, answer = session.run(lambda control: _switch(control, name, dynamic_mig == "on"))
    if answer.outcome == "refused":
        raise Failure(
            f"dynamic MIG of node {node} was not switched {dynamic_mig}", cause=answer.message, code=ExitCode.CONFLICT
        )
    print(f"Dynamic MIG of node {node} is {dynamic_mig}" + ("" if answer.outcome == "done" else ": not yet"))
    if answer.message:
        sessions.note(answer.message)


async def _switch(control: Control, name: str | None, on: bool) -> tuple[str, DynamicMig]:
    """Write the desired mode and wait for the agent's answer; a mode that was refused or not answered is taken back."""
    node = await found.node(control, name)
    name = node.meta.name
    if not node.status.ready:
        why = f"{node.status.message or 'its agent does not report'}, and only the agent can switch the mode"
        raise Failure(
            f"node {name} is not ready", cause=why, hint="nothing was changed; migctl node list", code=ExitCode.CONFLICT
        )
    answers: list[DynamicMig] = []

    async def answered_before() -> bool:
        """Whether the answer to an earlier desired mode, which was taken back, still stands."""
        now = await control.get(GpuNode, name)
        return _answers(now, on) and now.spec.dynamic_mig != on

    async def unanswered() -> bool:
        now = await control.get(GpuNode, name)
        answers[:] = [now.status.dynamic_mig] if now.status.dynamic_mig is not None and _answers(now, on) else []
        return not answers

    await _until_not(control, name, answered_before)
    await control.patch(node, {"spec": {"dynamicMig": on}})
    try:
        await _until_not(control, name, unanswered)
    finally:
        if not answers or answers[0].outcome == "refused":
            await control.patch(node, {"spec": {"dynamicMig": node.spec.dynamic_mig}})
    return name, answers[0]


def _answers(node: GpuNode, on: bool) -> bool:
    return node.status.dynamic_mig is not None and node.status.dynamic_mig.wanted == on


async def _until_not(control: Control, name: str, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something of a node holds no more. A Failure where that takes too long."""
    if not await holds():
        return
    try:
        async with asyncio.timeout(SWITCH_S):
            await watching.follow(control, (GpuNode,), holds)
    except TimeoutError:
        cause = "the wish was taken back; a switch that had begun may still be carried out"
        hint = "migctl node list shows the mode, and migctl doctor what keeps the agent busy"
        said = f"node {name} has not answered in {SWITCH_S:g} s"
        raise Failure(said, cause=cause, hint=hint, code=ExitCode.TIMEOUT) from None
