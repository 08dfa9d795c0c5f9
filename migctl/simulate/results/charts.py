"""Results as a picture: who admitted how much, of which sizes, how full the fleet was, and what it cost.

matplotlib is loaded when a chart is drawn, and draws without a display. The same results give the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migctl.simulate.policies import BOUND, MIGCTL, MIGCTL_MOVING
from migctl.simulate.results.metrics import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
COLOURS = {MIGCTL: "#0072B2", MIGCTL_MOVING: "#56B4E9", BOUND: "#000000"}
OTHERS = ("#E69F00", "#009E73", "#D55E00", "#CC79A7", "#A6761D", "#999999", "#8C6BB1")
HOUR = 3600.0
MOST_SIZES = 10
NEARLY_FULL = 0.85
POINTS = 80
"""A line over time is smoothed to so many."""


class BadChart(ValueError):
    """The file's name says no format that can be drawn."""


def draw(results: Sequence[Result], title: str, path: Path, by_arrival: bool = False) -> None:
    """Write the picture; its format is the name's ending. by_arrival: the fleet fills up, and time counts arrivals.

    Raises BadChart, OSError.
    """
    if path.suffix.lower() not in FORMATS:
        raise BadChart(f"{path.name!r} does not end in {', '.join(FORMATS)}")
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    with matplotlib.rc_context(
        {"svg.hashsalt": "migctl", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(11, 7.5), layout="constrained")
        figure.suptitle(title, fontsize=11)
        (admitted, sizes), (over_time, cost) = figure.subplots(2, 2)
        colours = _colours(results)
        _admitted(admitted, results, colours)
        _sizes(sizes, results, colours)
        _over_time(over_time, results, colours, by_arrival)
        if by_arrival:
            _left(cost, results, colours)
        else:
            _cost(cost, results, colours)
        handles = [Patch(color=colours[result.policy], label=result.policy) for result in results]
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
        plain = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=120, metadata=plain)


def _colours(results: Sequence[Result]) -> dict[str, str]:
    others = [result.policy for result in results if result.policy not in COLOURS]
    return {**COLOURS, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}}


def _admitted(axes: Axes, results: Sequence[Result], colours: dict[str, str]) -> None:
    """Bars of compute, dots of requests; the axis begins where the differences are."""
    rows = range(len(results))
    slices = [100 * result.slices for result in results]
    axes.barh(rows, slices, color=[colours[result.policy] for result in results])
    axes.plot([100 * result.requests for result in results], rows, "D", color="white", markeredgecolor="black", ms=5)
    for row, value in zip(rows, slices, strict=True):
        axes.text(value - 0.1, row, f"{value:.1f} ", ha="right", va="center", color="white")
    axes.set_yticks(rows, [result.policy for result in results])
    axes.invert_yaxis()
    least = min(min(result.slices, result.requests) for result in results)
    axes.set_xlim(max(0.0, 100 * least - 5), 100.5)
    axes.set_xlabel("admitted, % (bars: of compute; diamonds: of requests)")


def _sizes(axes: Axes, results: Sequence[Result], colours: dict[str, str]) -> None:
    """What part of each size was admitted: the most frequent ones."""
    requested = results[0].by_size
    often = set(sorted(requested, key=lambda size: -requested[size][0])[:MOST_SIZES])
    names = [name for name in requested if name in often]
    width = 0.8 / len(results)
    for number, result in enumerate(results):
        parts = [100 * result.by_size[name][1] / result.by_size[name][0] for name in names]
        positions = [name + (number - len(results) / 2 + 0.5) * width for name in range(len(names))]
        axes.bar(positions, parts, width, color=colours[result.policy])
    axes.set_xticks(range(len(names)), [name.removesuffix(" GPU") for name in names])
    axes.set_ylabel("admitted of each size, %")


def _over_time(axes: Axes, results: Sequence[Result], colours: dict[str, str], by_arrival: bool) -> None:
    for result in results:
        every = max(1, len(result.over_time) // POINTS)
        chunks = [result.over_time[i : i + every] for i in range(0, len(result.over_time), every)]
        times = [chunk[-1][0] / (1 if by_arrival else HOUR) for chunk in chunks]
        used = [100 * sum(value for _, value in chunk) / len(chunk) for chunk in chunks]
        known = result.policy in COLOURS
        axes.plot(times, used, color=colours[result.policy], lw=2 if known else 0.8, zorder=2 if known else 1)
    if by_arrival:
        full = [at for result in results for at, value in result.over_time if value >= NEARLY_FULL]
        axes.set_xlim(left=min(full, default=0.0))
        axes.set_ylim(100 * NEARLY_FULL if full else 0, 101)
    axes.set_xlabel("arrivals" if by_arrival else "hours")
    axes.set_ylabel("compute in use, %")


def _left(axes: Axes, results: Sequence[Result], colours: dict[str, str]) -> None:
    """What was unused in the end: whole GPUs, and parts of others."""
    placed = [result for result in results if result.idle_at_end is not None]
    paint = [colours[result.policy] for result in placed]
    idle = [result.idle_at_end or 0 for result in placed]
    axes.barh(range(len(placed)), [result.free_at_end for result in placed], color=paint, alpha=0.4)
    axes.barh(range(len(placed)), idle, color=paint)
    axes.set_xlabel("GPUs not in use at the end (dark: whole ones; light: parts of others)")
    axes.set_yticks(range(len(placed)), [result.policy for result in placed])
    axes.invert_yaxis()


def _cost(axes: Axes, results: Sequence[Result], colours: dict[str, str]) -> None:
    """Waiting where there is a queue, else reconfigurations and moves."""
    names = [result.policy for result in results]
    paint = [colours[name] for name in names]
    rows = range(len(results))
    if any(result.waiting for result in results):
        axes.barh(rows, [result.waiting_p95 / 60 for result in results], color=paint, alpha=0.4)
        axes.barh(rows, [result.waiting / 60 for result in results], color=paint)
        axes.set_xlabel("waiting, minutes (dark: mean; light: 95th percentile)")
    else:
        per = [100 / max(1, result.admitted) for result in results]
        made = [(r.creates + r.destroys) * p for r, p in zip(results, per, strict=True)]
        axes.barh(rows, made, color=paint)
        for row, (result, p) in enumerate(zip(results, per, strict=True)):
            if result.moves:
                axes.text(made[row], row, f" {result.moves * p:.1f} moves", va="center")
        axes.set_xlabel("instances created and destroyed per 100 admissions")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
