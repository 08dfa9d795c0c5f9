"""`node set`: a node's pool and labels, and the MIG mode that is wished of its GPUs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from migctl import admission
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import completion
from migctl.cli.nodes import found
from migctl.cli.output import watching
from migctl.cli.session import Session
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
    node_pool: Annotated[
        str | None,
        typer.Option(
            "--node-pool", metavar="POOL", help="Put it into this node pool.", autocompletion=completion.node_pools
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="Set a label; KEY- takes it away; repeatable."),
    ] = None,
) -> None:
    """Set a node's pool, labels or MIG mode.

    MIG mode: a GPU that is in use is refused, and then nothing is changed (exit code 4). Ampere GPUs wait for a reset.
    """
    if dynamic_mig not in ("", "on", "off"):
        said = f"--dynamic-mig {dynamic_mig} is neither on nor off"
        raise usage(said, hint="migctl node set NODE --dynamic-mig on, or off")
    if not (dynamic_mig or node_pool or labels):
        hint = "migctl node set NODE --dynamic-mig on, or off; --node-pool POOL; --label KEY=VALUE"
        raise usage("say what to set", hint=hint)
    session = sessions.of(context)
    if node_pool or labels:
        changes = _changes(node_pool, labels or (), session)
        print(f"Updated node {session.run(lambda control: _change(control, name, changes))}")
    if dynamic_mig:
        _switch_mode(session, name, dynamic_mig)


def _changes(node_pool: str | None, labels: Sequence[str], session: Session) -> dict[str, Any]:
    """The patch that sets a node's pool and labels. Raises Failure."""
    if labels and session.target.cluster:
        hint = f"kubectl label node NODE {' '.join(labels)}"
        raise usage("on a cluster a node's labels are those of Kubernetes' own Node", hint=hint)
    pool = {"spec": {"pool": names.plain(node_pool, "nodepool", "nodepools", "node-pool")}} if node_pool else {}
    return {**pool, **({"meta": {"labels": dict(map(_label, labels))}} if labels else {})}


def _label(text: str) -> tuple[str, str | None]:
    """A label's name and value; None takes it away."""
    key, equals, value = text.partition("=")
    if equals and key:
        admission.check_labels({key: value})
        return key, value
    if not equals and len(text) > 1 and text.endswith("-"):
        return text[:-1], None
    raise usage(f"--label {text!r} is no label", hint="--label gpu=a100, or --label gpu- to take it away")


async def _change(control: Control, word: str | None, changes: Mapping[str, Any]) -> str:
    node = await found.node(control, word)
    await control.patch(node, changes)
    return node.meta.name


def _switch_mode(session: Session, name: str | None, dynamic_mig: str) -> None:
    """Switch MIG mode, and say what came of it."""
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
