"""`node drain`: take a node out of use. What may be preempted goes on elsewhere; nothing is stopped unannounced."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import typer

from migctl import quantities
from migctl.backends.protocol import Conflict, Invalid, NotFound, Unavailable
from migctl.backends.workload_status import holds
from migctl.cli import session as sessions
from migctl.cli.contexts.control import Control
from migctl.cli.failures import ExitCode, Failure, usage
from migctl.cli.grammar import options
from migctl.cli.nodes import found
from migctl.cli.nodes.cordon import set_cordoned
from migctl.cli.output import tables, watching
from migctl.cli.output.tables import Column
from migctl.cli.plans.what_if import fate_text
from migctl.objects import Claim, GpuNode, NodePool

RETRY_S = 5.0
NAMED = 5


@dataclass(frozen=True)
class Leaving:
    """A pod on the node, and what would become of it."""

    claim: Claim
    held: str
    then: str

    @property
    def name(self) -> str:
        """`project/workload`."""
        return _name(self.claim)


COLUMNS: Sequence[Column[Leaving]] = (
    Column("WORKLOAD", lambda row: row.name),
    Column("PREEMPTIBLE", lambda row: "yes" if row.claim.spec.preemptible else "no", drop=1),
    Column("HOLDS", lambda row: row.held),
    Column("THEN", lambda row: row.then, long=True),
)


def drain(
    context: typer.Context,
    name: options.NodeName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be stopped, and change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Stop what may not be preempted as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="Wait at most so long: 30s, 1h.")] = "10m",
) -> None:
    """Cordon a node, and stop what runs there.

    What is stopped waits and goes on elsewhere; the command returns when nothing is left on the node. Work that may
    not be preempted makes it refuse (exit code 4), unless --force is given. On a cluster pods are evicted, which
    respects disruption budgets, and pods without GPUs are left to kubectl drain.
    """
    session, seconds = sessions.of(context), quantities.duration(timeout)
    name, rows = session.run(lambda control: _rows(control, name, session.system.now()))
    staying = [] if force else [row.name for row in rows if not row.claim.spec.preemptible]
    if rows:
        tables.section(f"On {name} ({len(rows)})", rows, COLUMNS)
    if dry_run:
        sessions.note(_foreseen(rows, staying))
        return
    if staying:
        raise Failure(
            f"node {name} was not drained, and nothing was changed",
            cause=f"{_few(staying)} may not be preempted",
            hint="--force stops that too, or delete or suspend it first",
            code=ExitCode.CONFLICT,
        )
    if rows and not yes:
        if not sys.stdin.isatty():
            raise usage("what is stopped is asked about first, and nobody is there to answer", hint="add --yes")
        typer.confirm(f"Drain {name}, and stop {_pods(len(rows))}?", abort=True, err=True)
    draining = Draining(name, force)
    try:
        session.run(lambda control: _drain(control, draining, seconds))
    except TimeoutError:
        raise _late(draining, timeout) from None
    if draining.staying:
        raise Failure(
            f"node {name} is not empty",
            cause=f"{_few(sorted(draining.staying))} stays",
            hint="it stays cordoned; --force stops what may not be preempted too",
            code=ExitCode.CONFLICT,
        )
    print(f"node {name} drained")


async def _rows(control: Control, word: str, now: datetime) -> tuple[str, list[Leaving]]:
    """The name of a node and the pods on it, with what the planner would do with each if the node were gone."""
    node = (await found.node(control, word)).meta.name
    there = _on(node, (await control.list(Claim)).items)
    if not there:
        return node, []
    from migctl.controller import queues
    from migctl.controller.names import Names
    from migctl.solver_process.planning import plan
    from solver.model.snapshot import Policy
    from solver.whatif import SnapshotEdits, edited

    state = await control.snapshot(now)
    policy = queues.policy(Policy(), (await control.list(NodePool)).items)
    without = edited(state, SnapshotEdits(lost=frozenset({node})))
    outcomes = (await asyncio.to_thread(plan, without, policy)).outcomes
    names = Names(without, state)
    return node, [
        Leaving(claim, names.grant(grant), fate_text(outcomes.get(claim.meta.uid), names))
        for claim in there
        if (grant := claim.status.allocation) is not None
    ]


def _on(node: str, claims: Iterable[Claim]) -> list[Claim]:
    """The claims that hold something on a node."""
    return [c for c in claims if holds(c) and c.status.allocation is not None and c.status.allocation.node == node]


def _name(claim: Claim) -> str:
    return f"{claim.meta.project}/{claim.spec.workload}"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _foreseen(rows: Sequence[Leaving], staying: Sequence[str]) -> str:
    """What a dry run comes to."""
    if staying:
        return f"it would be refused: {_few(staying)} may not be preempted; --force stops that too. Nothing was changed"
    return f"{_pods(len(rows))} would be stopped. Nothing was changed" if rows else "nothing runs there to be stopped"


def _few(names: Sequence[str]) -> str:
    each = list(dict.fromkeys(names))
    return ", ".join(each[:NAMED]) + (f" and {len(each) - NAMED} more" if len(each) > NAMED else "")


@dataclass
class Draining:
    """How far a node is drained.

    asked    the pods that were told to stop, by uid, with their names
    refused  why one that must be tried again has not been, by name
    staying  those that stay, by name
    """

    node: str
    force: bool
    asked: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    staying: set[str] = field(default_factory=set)

    async def step(self, control: Control) -> bool:
        """Tell what is there to stop, and what has left; whether there is more to wait for."""
        there = {claim.meta.uid: claim for claim in _on(self.node, (await control.list(Claim)).items)}
        for uid in self.asked.keys() - there.keys():
            print(f"{self.asked.pop(uid)} has left", flush=True)
        self.refused.clear()
        self.staying.clear()
        for uid, claim in there.items():
            if uid not in self.asked and claim.meta.deleting is None:
                await self._stop(control, claim)
        return len(there) > len(self.staying)

    async def _stop(self, control: Control, claim: Claim) -> None:
        name = _name(claim)
        if not (claim.spec.preemptible or self.force):
            self.staying.add(name)
            return
        try:
            await control.evict(claim, f"node {self.node} is drained")
            self.asked[claim.meta.uid] = name
        except NotFound:
            return
        except Invalid as error:
            self.staying.add(f"{name} ({error})")
        except (Conflict, Unavailable) as error:
            self.refused[name] = str(error)


async def _drain(control: Control, draining: Draining, seconds: float) -> None:
    """Cordon the node, and go on until nothing that may be stopped is left. Raises TimeoutError."""
    node = await control.get(GpuNode, draining.node)
    if await set_cordoned(control, node, True):
        print(f"node {draining.node} cordoned", flush=True)
    async with asyncio.timeout(seconds):
        await watching.follow(control, (Claim,), lambda: draining.step(control), every=RETRY_S)


def _late(draining: Draining, timeout: str) -> Failure:
    left = [*draining.asked.values(), *draining.refused]
    whys = "; ".join(f"{name}: {why}" for name, why in draining.refused.items())
    return Failure(
        f"node {draining.node} is not empty after {timeout}",
        cause=f"{_few(left)} still there" + (f" ({whys})" if whys else ""),
        hint="it stays cordoned; the same command goes on",
        code=ExitCode.TIMEOUT,
    )
