"""`simulate`: what a fleet would have admitted, under the production planner and under others' rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migctl.cli import session as sessions
from migctl.cli.failures import usage
from migctl.cli.grammar import options
from migctl.cli.output import formats, tables
from migctl.cli.output.listings import view
from migctl.cli.output.tables import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from migctl.simulate.compare import Watch
    from migctl.simulate.events import Arrival
    from migctl.simulate.fleet import SimulatedFleet
    from migctl.simulate.policies import SchedulerFactory
    from migctl.simulate.results.metrics import Result

MIXES = ("uniform", "small", "big", "bimodal")
PROGRESS_FROM = 2_000


def simulate(
    context: typer.Context,
    fleet: Annotated[str, typer.Option("--fleet", metavar="GPUS", help="The GPUs: a100-40gb=100.")] = "a100-40gb=100",
    mix: Annotated[str, typer.Option("--mix", metavar="MIX", help=f"What is asked for: {', '.join(MIXES)}.")] = MIXES[
        0
    ],
    load: Annotated[float, typer.Option("--load", min=0.01, max=100.0, help="Room asked for, of the fleet's.")] = 1.0,
    arrivals: Annotated[int, typer.Option("--arrivals", min=1, metavar="N", help="How many requests.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Other requests of the same kind.")] = 0,
    queue: Annotated[bool, typer.Option("--queue", help="Who finds no room waits; else it leaves.")] = False,
    policy: Annotated[
        list[str] | None, typer.Option("--policy", metavar="NAME", help="Only this policy; repeatable.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="PODS.csv", help="Pods of the openb trace instead of a mix.")
    ] = None,
    nodes: Annotated[
        Path | None, typer.Option("--nodes", metavar="NODES.csv", help="Nodes of the trace, instead of --fleet.")
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Pods of the trace never leave.")] = False,
    fill: Annotated[
        float | None,
        typer.Option(
            "--fill", min=0.01, max=10.0, metavar="LOAD", help="Draw pods of the trace until they ask for that."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write every figure here.")] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE.png|.svg", help="Draw the results here.")
    ] = None,
    output: options.Output = None,
) -> None:
    """Simulate days of demand, the same under each policy.

    No cluster is needed or touched: an imagined fleet meets generated requests.
    """
    from migctl.simulate import compare
    from migctl.simulate.results import charts, report

    shown = view(sessions.of(context), output)
    if chart and chart.suffix.lower() not in charts.FORMATS:
        raise usage(f"--chart {chart} is no picture", hint=f"a name that ends in {' or '.join(charts.FORMATS)}")
    for file in filter(None, (csv, chart)):
        _writable(file)
    filling = bool(stay or fill)
    if trace and nodes:
        simulated, demand = _traced(trace, nodes, stay, fill, seed)
        title = f"{trace.name} on {len(simulated.gpus):,} GPUs"
    elif trace or nodes or filling:
        raise usage("a trace needs both --trace and --nodes", hint="--trace PODS.csv --nodes NODES.csv")
    else:
        simulated = _fleet(fleet)
        demand = _generated(simulated, mix, load, arrivals, seed)
        title = f"{mix} requests at load {load:g} on {fleet}"
    chosen = _chosen(simulated, demand, policy or ())
    with _progress(len(demand) * len(chosen)) as watch:
        warm_up = 0.0 if trace else compare.WARM_UP
        results = list(compare.compare(simulated, demand, chosen, queue, warm_up, watch))
    if shown.format.human_readable:
        tables.show(results, _columns(queue, filling))
    else:
        formats.write(_document(results), shown.format)
    if csv:
        csv.write_text(report.as_csv(results), encoding="utf-8")
    if chart:
        charts.draw(results, title, chart, by_arrival=filling)


def _writable(file: Path) -> None:
    """Raises Failure where results could not be written in the end: that is said before they are computed."""
    problem = next(
        (
            text
            for wrong, text in (
                (file.is_dir(), "it is a folder"),
                (not file.parent.is_dir(), f"there is no folder {file.parent}"),
                (not os.access(file if file.exists() else file.parent, os.W_OK), "you may not write there"),
            )
            if wrong
        ),
        None,
    )
    if problem is not None:
        raise usage(f"{file} cannot be written: {problem}", hint="give another path")


def _document(results: Sequence[Result]) -> dict[str, Any]:
    from migctl.objects import API_VERSION
    from migctl.simulate.results.report import row

    return {"apiVersion": API_VERSION, "kind": "Simulation", "policies": [row(result) for result in results]}


def _fleet(text: str) -> SimulatedFleet:
    from migctl.simulate.fleet import BadFleet, parse

    try:
        return parse(text)
    except BadFleet as error:
        raise usage(f"--fleet: {error}", hint="--fleet a100-40gb=100") from error


def _traced(
    trace: Path, nodes: Path, stay: bool, fill: float | None, seed: int
) -> tuple[SimulatedFleet, Sequence[Arrival]]:
    from migctl.simulate.demand import openb

    try:
        fleet, pods = openb.fleet(nodes), openb.arrivals(trace, timed=not (stay or fill))
    except openb.BadTrace as error:
        raise usage(str(error), hint="traces/openb/README.md says what such files hold") from error
    if not pods:
        raise usage(f"{trace} lists no pod with a GPU")
    if fill:
        return fleet, openb.filling(pods, fleet, fill, seed)
    return fleet, openb.staying(pods) if stay else pods


def _generated(fleet: SimulatedFleet, mix: str, load: float, arrivals: int, seed: int) -> Sequence[Arrival]:
    from migctl.simulate.demand.generated import DemandMix

    if mix not in MIXES:
        raise usage(f"no mix is called {mix!r}", hint=f"--mix {' or '.join(MIXES)}")
    return tuple(DemandMix(mix, load, arrivals, seed).on(fleet))


def _chosen(fleet: SimulatedFleet, arrivals: Sequence[Arrival], names: Sequence[str]) -> Mapping[str, SchedulerFactory]:
    from migctl.simulate.policies import schedulers

    known = schedulers(fleet, arrivals)
    for name in names:
        if name not in known:
            raise usage(f"no policy is called {name!r}", hint=f"one of {', '.join(known)}")
    return {name: known[name] for name in names or known}


@contextmanager
def _progress(arrivals: int) -> Iterator[Watch]:
    """A bar on the terminal while it lasts; nothing where there is none, or where it is over at once."""
    from migctl.simulate.compare import unwatched

    if not sys.stderr.isatty() or arrivals < PROGRESS_FROM:
        yield unwatched
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=arrivals)

        def watch(policy: str, passing: Sequence[Arrival]) -> Iterable[Arrival]:
            bar.update(task, description=policy)
            for arrival in passing:
                yield arrival
                bar.advance(task)

        yield watch


def _columns(queue: bool, filling: bool) -> list[Column[Result]]:
    waiting: list[Column[Result]] = [
        Column("WAIT", lambda r: _time(r.waiting)),
        Column("WAIT P95", lambda r: _time(r.waiting_p95), drop=1),
        Column("UNSERVED", lambda r: str(r.unserved)),
    ]
    steady: list[Column[Result]] = [
        Column("USED", lambda r: _share(r.utilisation)),
        Column("IDLE GPUS", lambda r: "-" if r.idle_gpus is None else f"{r.idle_gpus:.1f}", brief="IDLE"),
    ]
    at_end: list[Column[Result]] = [
        Column("USED AT END", lambda r: _share(r.used_at_end), brief="USED"),
        Column("IDLE GPUS AT END", lambda r: "-" if r.idle_at_end is None else str(r.idle_at_end), brief="IDLE"),
    ]
    return [
        Column("POLICY", lambda r: r.policy),
        Column("REQUESTS", lambda r: _share(r.requests)),
        Column("SLICES", lambda r: _share(r.slices)),
        *(at_end if filling else steady),
        *(waiting if queue else ()),
        Column("FRAGMENTED", lambda r: str(r.fragmented), drop=2),
        Column("MOVES", lambda r: str(r.moves), drop=3),
        Column("CREATES", lambda r: str(r.creates), drop=4),
        Column("DESTROYS", lambda r: str(r.destroys), drop=5),
    ]


def _share(value: float) -> str:
    return f"{value:.1%}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
