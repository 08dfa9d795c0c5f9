"""`node set --dynamic-mig`: the MIG mode that is wished of a node or of single GPUs, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.nodes import found
from migctl.cli.output import watching
from migctl.cli.session import Session
from migctl.objects import GpuNode

SWITCH_S = 90.0  # enabling takes a driver 4 to 6 s per GPU, of which a node has eight

MODES: Mapping[str, bool | None] = {"on": True, "off": False, "inherit": None}
"""What may be typed; None: a GPU follows its node."""

NODE = ""
"""Stands for the node among UUIDs of its GPUs."""


@dataclass(frozen=True)
class Answer:
    """What came of a wish, as DynamicMig has it."""

    outcome: str
    message: str = ""


def check(mode: str, gpus: Sequence[str]) -> None:
    """Raises Failure where the words cannot be meant."""
    if not mode:
        raise usage("--gpu is for --dynamic-mig", hint="migctl node set NODE --gpu 0 --dynamic-mig on, off or inherit")
    if mode not in MODES:
        said = f"--dynamic-mig {mode} is neither on nor off" + (" nor inherit" if gpus else "")
        raise usage(said, hint="migctl node set NODE --dynamic-mig on, or off")
    if MODES[mode] is None and not gpus:
        hint = "migctl node set NODE --gpu 0 --dynamic-mig inherit"
        raise usage("a GPU inherits the mode of its node: say which one", hint=hint)


def switch(session: Session, name: str | None, mode: str, gpus: Sequence[str]) -> None:
    """Switch the GPUs named, or all of the node that have no mode of their own; say what came of it."""
    node, answers = session.run(lambda control: _switch(control, name, MODES[mode], gpus))
    refused = {subject: answer for subject, answer in answers.items() if answer.outcome == "refused"}
    for subject, answer in answers.items():
        if subject not in refused:
            print(_said(node, subject, mode) + ("" if answer.outcome == "done" else ": not yet"))
            if answer.message:
                sessions.note(answer.message)
    if refused:
        named = " and of ".join(_called(node, subject) for subject in refused)
        done = "given back to its node" if MODES[mode] is None else f"switched {mode}"
        cause = "; ".join(dict.fromkeys(answer.message for answer in refused.values()))
        raise Failure(f"dynamic MIG of {named} was not {done}", cause=cause, code=ExitCode.CONFLICT)
    if not gpus and (own := [uuid for uuid, on in node.spec.gpu_dynamic_mig.items() if on != MODES[mode]]):
        named = ", ".join(sorted(_called(node, uuid) for uuid in own))
        sessions.note(f"not of {named}, which has a mode of its own: --gpu with --dynamic-mig inherit ends that")


def _said(node: GpuNode, subject: str, mode: str) -> str:
    if MODES[mode] is not None:
        return f"Dynamic MIG of {_called(node, subject)} is {mode}"
    on = node.spec.dynamic_mig
    follows = f"{_called(node, subject)} follows node {node.meta.name}"
    return f"{follows}, which sets no mode" if on is None else f"{follows}: dynamic MIG {'on' if on else 'off'}"


def _called(node: GpuNode, subject: str) -> str:
    """What people call the node or one of its GPUs."""
    report = node.status.report
    indices = {gpu.uuid: gpu.index for gpu in report.gpus} if report else {}
    if subject == NODE:
        return f"node {node.meta.name}"
    return f"GPU {node.meta.name}/{indices[subject]}" if subject in indices else f"GPU {subject}"


def _subjects(node: GpuNode, words: Sequence[str]) -> tuple[str, ...]:
    """UUIDs of the GPUs that are named; the node without any. A Failure where there is no such GPU."""
    there = node.status.report.gpus if node.status.report else ()
    named = {uuid: uuid for uuid in (*node.spec.gpu_dynamic_mig, *(gpu.uuid for gpu in there))}
    named |= {form: gpu.uuid for gpu in there for form in (str(gpu.index), f"{node.meta.name}/{gpu.index}")}
    for word in words:
        if word not in named:
            hint = f"its GPUs: {', '.join(str(gpu.index) for gpu in there) or 'none'}"
            raise usage(f"node {node.meta.name} has no GPU {word!r}", hint=hint)
    return tuple(dict.fromkeys(named[word] for word in words)) or (NODE,)


async def targets(control: Control, word: str | None, gpus: Sequence[str]) -> tuple[GpuNode, Sequence[str]]:
    """The node, and what of it is switched: UUIDs of GPUs, or NODE. A Failure where that cannot be."""
    node = await found.node(control, word)
    if not node.status.ready:
        why = f"{node.status.message or 'its agent does not report'}, and only the agent can switch the mode"
        hint = "nothing was changed; migctl node list"
        raise Failure(f"node {node.meta.name} is not ready", cause=why, hint=hint, code=ExitCode.CONFLICT)
    return node, _subjects(node, gpus)


async def _switch(
    control: Control, word: str | None, on: bool | None, gpus: Sequence[str]
) -> tuple[GpuNode, Mapping[str, Answer]]:
    """Write the desired modes and wait for the agent's answers; one that was refused or not answered is taken back."""
    before, subjects = await targets(control, word, gpus)
    name = before.meta.name
    answers: dict[str, Answer] = {}

    async def answered_before() -> bool:
        """Whether the answer to an earlier desired mode, which was taken back, still stands."""
        now = await control.get(GpuNode, name)
        return any(_answer(now, subject, on) and _wish(now, subject) != on for subject in subjects)

    async def unanswered() -> bool:
        now = await control.get(GpuNode, name)
        answers.update({subject: answer for subject in subjects if (answer := _answer(now, subject, on))})
        return len(answers) < len(subjects)

    await _until_not(control, name, answered_before)
    await control.patch(before, _patch(dict.fromkeys(subjects, on)))
    try:
        await _until_not(control, name, unanswered)
    finally:
        failed = {s: _wish(before, s) for s in subjects if s not in answers or answers[s].outcome == "refused"}
        if failed:
            await control.patch(before, _patch(failed))
    return await control.get(GpuNode, name), answers


def _wish(node: GpuNode, subject: str) -> bool | None:
    return node.spec.dynamic_mig if subject == NODE else node.spec.gpu_dynamic_mig.get(subject)


def _patch(wishes: Mapping[str, bool | None]) -> Mapping[str, object]:
    """The patch that writes the wishes."""
    return {"spec": {"dynamicMig": wishes[NODE]} if NODE in wishes else {"gpuDynamicMig": wishes}}


def _answer(node: GpuNode, subject: str, on: bool | None) -> Answer | None:
    """What the agent says of this wish; None: nothing yet. Where a GPU follows its node: what it says of the node's."""
    told = node.status.dynamic_mig if subject == NODE else node.status.gpu_dynamic_mig.get(subject)
    if on is None:
        if told is not None:
            return None
        on, told = node.spec.dynamic_mig, node.status.dynamic_mig
        if on is None:
            return Answer("done")
    return Answer(told.outcome, told.message) if told is not None and told.wanted == on else None


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
