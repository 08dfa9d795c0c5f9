"""`node set`: a node's pool, its labels and its MIG mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from migctl import admission
from migctl.cli import names
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import usage
from migctl.cli.grammar import completion
from migctl.cli.nodes import found, mig_mode
from migctl.cli.session import Session


def set_node(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Which node; the only one by default.", autocompletion=completion.nodes),
    ] = None,
    dynamic_mig: Annotated[
        str,
        typer.Option(
            "--dynamic-mig",
            metavar="on|off|inherit",
            help="MIG mode of the node's GPUs, or of those of --gpu. inherit: those of --gpu follow the node's again.",
        ),
    ] = "",
    gpus: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            metavar="GPU",
            help="Which GPU --dynamic-mig is for, by index, NODE/INDEX or UUID; repeatable. It keeps this mode "
            "whatever the node's is.",
            autocompletion=completion.gpus,
        ),
    ] = None,
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

    MIG mode: a GPU that is in use is refused (exit code 4), and then nothing is changed; with --gpu, the other
    GPUs named are. Ampere GPUs wait for a reset.
    """
    if dynamic_mig or gpus:
        mig_mode.check(dynamic_mig, gpus or ())
    if not (dynamic_mig or node_pool or labels):
        hint = "migctl node set NODE --dynamic-mig on, or off; --node-pool POOL; --label KEY=VALUE"
        raise usage("say what to set", hint=hint)
    session = sessions.of(context)
    if dynamic_mig:
        session.run(lambda control: mig_mode.targets(control, name, gpus or ()))
    if node_pool or labels:
        changes = _changes(node_pool, labels or (), session)
        print(f"Updated node {session.run(lambda control: _change(control, name, changes))}")
    if dynamic_mig:
        mig_mode.switch(session, name, dynamic_mig, gpus or ())


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
