"""Every table on a terminal of 80 columns, with names as long as real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import migctl.cli
from migctl.cli.output import layout, tables, terminal
from migctl.cli.output.layout import Strip
from migctl.cli.output.tables import Column
from migctl.objects import (
    Department,
    DepartmentSpec,
    GpuRequest,
    Meta,
    Phase,
    PlacementPlan,
    PlanOutcome,
    PlanSpec,
    PlanStep,
    PoolQuota,
    PoolUsage,
    Project,
    ProjectSpec,
    ProjectStatus,
    WorkloadType,
)
from tests.fakes.terminal import terminal as terminal_of
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100, Placed

COLUMNS = 80
PROJECT = "computer-vision-research"
DEPARTMENT = "artificial-intelligence-department"
TRAINING = "llama-3-70b-instruct-finetune-experiment-0042"
WAITING = "whisper-large-v3-distillation-teacher"
LONGEST = "a" + "-very-long-name" * 4 + "-1"
NODE = "gpu-node-a100-eu-west-1a-0042.cluster.example.com"
REASON = (
    f"no GPU has 0.50 free: {NODE}/0 is held by {TRAINING} of project {PROJECT} (non-preemptible, priority 100), and "
    "project quota is 2.00 GPUs of which 2.00 are allocated, so that nothing more may be taken back for it now"
)
COMMANDS = (
    "list", "list -A", "list -o wide", "list -A -o wide", "list nodes", "list nodes -o wide", "list projects",
    "list projects -o wide", "workload list", "workload list -A -o wide", "training list", f"describe {TRAINING}",
    f"describe {WAITING}", f"describe {LONGEST}", f"why {TRAINING}", f"why {WAITING}", "gpus", "gpus -o wide",
    "node list", "node list -o wide", f"node describe {NODE}", f"node drain {NODE} --dry-run",
    "project list", "project list -o wide", f"project describe {PROJECT}",
    "department list", "department list -o wide", f"department describe {DEPARTMENT}", "plan list",
    "plan list -o wide", "plan show", "plan what-if --add 0.5x3 --lose-node " + NODE, "plan what-if --add 0.5",
    "plan defrag", "events", "events -A", "top nodes", "top jobs", "top jobs -A", "context list", "whoami",
    "simulate --arrivals 50 --fleet a100-40gb=2 --policy first-fit --queue",
)  # fmt: skip


@pytest.fixture
def crowded(cli: Cli) -> Cli:
    """Long names, long reasons, a node that is not ready, a GPU that is fenced."""
    a100, v100 = scenes.gpu(NODE, 0, A100), scenes.gpu(NODE, 1, V100)
    fenced = scenes.gpu("node-b", 0, V100, fenced="MIG mode is being switched on, and a reset of the GPU is pending")

    async def fill(cluster: Cluster) -> None:
        pools = {"a100-pool-eu-west-1": PoolQuota(quota=4.0, limit=8.0)}
        usage = {name: PoolUsage(allocated=12.286, fair_share=13.714) for name in ("default", *pools)}
        await cluster.create(Department(meta=Meta(name=DEPARTMENT), spec=DepartmentSpec(quota=64.0)))
        spec = ProjectSpec(quota=16.0, limit=32.0, department=DEPARTMENT, pools=pools)
        status = ProjectStatus(
            allocated=12.286, non_preemptible=10.571, requested=120.5, fair_share=13.714, pools=usage
        )
        await cluster.create(Project(meta=Meta(name=PROJECT), spec=spec, status=status))
        await cluster.create(Project(meta=Meta(name="team-b")))
        await cluster.create(scenes.node(NODE, a100, v100, processes={None: 15000}))
        await cluster.create(scenes.node("node-b", fenced, ready=False))
        on_a100 = Placed(
            NODE, (scenes.mig_share(a100, "2g.10gb", 0),), "0.50 of a GPU was rounded up to 2g.10gb, 9856 MiB"
        )
        await scenes.workload(cluster, TRAINING, GpuRequest(fraction=0.5), on_a100, project=PROJECT, preemptible=False)
        half = GpuRequest(fraction=0.5)
        await scenes.workload(cluster, WAITING, half, project=PROJECT, reason="Unschedulable", message=REASON)
        on_v100 = Placed(NODE, (scenes.software_share(v100, 0.5),))
        await scenes.workload(cluster, LONGEST, half, on_v100, project=PROJECT, type=WorkloadType.WORKSPACE)
        await scenes.workload(cluster, "frac05", GpuRequest(), project="team-b", phase=Phase.SUSPENDED)
        for number, about in enumerate((TRAINING, WAITING, LONGEST)):
            message = REASON if number else "zażółć gęślą jaźń 日本語のメッセージ " * 5
            await scenes.event(cluster, f"Workload/{about}", f"Preempted{number}", message, True, project=PROJECT)
        steps = (
            PlanStep(action="create", text=f"create 3g.20gb at 4 on {NODE}/0"),
            PlanStep(action="assign", text=f"assign {PROJECT}/{TRAINING} to {NODE}/0", after=(0,), reason=REASON),
        )
        outcomes = (PlanOutcome("uid-1", f"{PROJECT}/{WAITING}", False, REASON),)
        plan = PlanSpec(steps, outcomes, "bounded", 3.0, 4.0, 0.25, 1234, 1, "stopped by the clock", 2000.0)
        await cluster.create(PlacementPlan(meta=Meta(name="plan-1a2b3c4d"), spec=plan))

    cli.do(fill)
    cli.environ["MIGCTL_PROJECT"] = PROJECT
    cli.columns = COLUMNS
    return cli


def headings() -> set[str]:
    """Every heading that a column has, whole and in its short form."""
    text = "".join(path.read_text() for path in Path(migctl.cli.__path__[0]).rglob("*.py"))
    found = re.findall(r'(?:Column|_gpus|_mib)(?:\[.*?\])?\(\s*"(.+?)"|brief="(.+?)"|_columns\("(.+?)"\)', text)
    return {heading for match in found for heading in match if heading} | {"AGE"}


def plain(text: str) -> str:
    return re.sub("\033\\[[0-9;]*m", "", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_wider_than_the_terminal_and_no_heading_is_split(crowded: Cli, command: str) -> None:
    out = crowded.ok(*command.split()).out
    assert [line for line in plain(out).splitlines() if cell_len(line) > COLUMNS] == []
    for line in out.splitlines():
        if re.match(r"\s*\033\[1m[A-Z]", line):
            cells = [cell for cell in re.split(r"\s{2,}", plain(line).strip()) if cell]
            assert set(cells) <= headings(), cells


def test_the_names_stay_whole_and_reasons_go_below_their_row(crowded: Cli) -> None:
    lines = plain(crowded.ok("list", "-o", "wide").out).splitlines()
    assert lines[1].split("  ")[0] == "NAME"
    row = next(number for number, line in enumerate(lines) if line.startswith(WAITING))
    assert lines[row + 1].startswith("  no GPU has 0.50 free: ")
    assert " ".join(line.strip() for line in lines[row + 1 : row + 6]).startswith(REASON[:200])


def test_off_a_terminal_nothing_is_left_out(crowded: Cli) -> None:
    crowded.columns = None
    lines = crowded.ok("list", "-o", "wide").lines
    assert all(name in lines[1] for name in ("GPUs Allocated (Requested)", "SERVICE URL(S)", "REASON"))
    assert any(WAITING in line and REASON in line for line in lines)


def test_what_others_wrote_does_not_reach_the_terminal_as_a_command(cli: Cli) -> None:
    written = "\033]0;title\007\033[2Jgone\nnext"
    column = [Column[str]("NAME", lambda text: text), Column[str]("MESSAGE", lambda text: text, long=True)]
    with terminal_of(COLUMNS) as out:
        tables.show([written], column)
        tables.facts(("Image", written))
    assert "\033[2J" not in out[0]
    assert "\007" not in out[0]
    assert "\\x1b[2Jgone next" in out[0]


def test_colours_are_for_terminals_without_no_color(crowded: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\033[" in crowded.ok("list").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in crowded.ok("list").out
    monkeypatch.delenv("NO_COLOR")
    crowded.columns = None
    assert "\033[" not in crowded.ok("list").out


STRIPS = st.lists(
    st.tuples(st.text(min_size=1, max_size=12), st.text(max_size=70), st.integers(0, 3), st.booleans()),
    min_size=1,
    max_size=8,
)


@given(columns=STRIPS, room=st.integers(20, 200))
def test_a_table_fits_wherever_one_column_does(columns: list[tuple[str, str, int, bool]], room: int) -> None:
    strips = [
        Strip(place, heading, [text], drop=drop, long=long) for place, (heading, text, drop, long) in enumerate(columns)
    ]
    drawn = layout.fit(strips, room)
    width = sum(strip.width for strip in drawn.beside) + drawn.gap * (len(drawn.beside) - 1)
    assert width <= room or len(drawn.beside) <= 1


@given(text=st.text(max_size=200), room=st.integers(2, 60))
def test_wrapped_text_keeps_every_word_and_its_width(text: str, room: int) -> None:
    lines = list(terminal.wrapped(text, room))
    assert all(cell_len(line) <= room for line in lines)
    assert "".join("".join(lines).split()) == "".join(terminal.clean(text).split())
