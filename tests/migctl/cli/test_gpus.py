"""The map of every GPU: what is drawn, that it reads without colour, and what machines get."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from migctl.cli.gpus import picture
from migctl.cli.output.terminal import cut, text_of
from migctl.gpu_map import fleet
from migctl.gpu_map.gpu_blocks import blocks, free
from migctl.objects import Claim, GpuRequest, NodeSpec
from solver.model.cluster import Instance, InstanceState, SharedPart
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, V100, Placed


@pytest.fixture
def mapped(team: Cli) -> Cli:
    """An A100 with every kind of instance, a V100 shared by two, a V100 held whole, and an empty one."""
    mig = scenes.gpu("node-b", 0, A100)
    shared, taken, empty = (scenes.gpu("node-a", index, V100) for index in range(3))

    async def fill(cluster: Cluster) -> None:
        await scenes.workload(cluster, "mem", GpuRequest(), Placed("node-b", (scenes.mig_share(mig, "2g.10gb", 0),)))
        await scenes.workload(cluster, "new", GpuRequest(), Placed("node-b", (scenes.mig_share(mig, "1g.5gb", 6),)))
        await scenes.workload(cluster, "half", GpuRequest(), Placed("node-a", (scenes.software_share(shared, 0.5),)))
        team.clock.advance(1)
        long = "a-workload-with-a-long-name"
        await scenes.workload(cluster, long, GpuRequest(), Placed("node-a", (scenes.software_share(shared, 0.1),)))
        await scenes.workload(cluster, "big", GpuRequest(), Placed("node-a", (scenes.whole(taken),)))
        uids = {claim.spec.workload: claim.meta.uid for claim in (await cluster.list(Claim)).items}
        instances = (
            Instance("2g.10gb", 0, 2, InstanceState.BUSY, uids["mem"], "MIG-mem"),
            Instance("1g.5gb", 2, 1, InstanceState.IDLE, None, "MIG-idle"),
            Instance("1g.5gb", 3, 1, InstanceState.FOREIGN, None, "MIG-foreign"),
            Instance("1g.5gb", 4, 1, InstanceState.QUARANTINED, None, "MIG-stuck"),
            Instance("1g.5gb", 5, 1, InstanceState.BUSY, "uid-gone", "MIG-leaving"),
            Instance("2g.10gb", 6, 2, InstanceState.IDLE, None, "MIG-replaced"),
        )
        parts = (SharedPart(uids["half"], 0.5, 8080), SharedPart(uids[long], 0.1, 1616))
        await cluster.create(
            scenes.node("node-a", replace(shared, parts=parts), replace(taken, held_by=uids["big"]), empty)
        )
        await cluster.create(scenes.node("node-b", replace(mig, instances=instances)))

    team.do(fill)
    return team


def test_every_state_is_told_by_words_and_borders(mapped: Cli) -> None:
    lines = mapped.ok("gpus").lines
    start = next(i for i, line in enumerate(lines) if line.startswith("node-b/0"))
    assert lines[start] == "node-b/0  A100-40GB  MIG  0.429 used  0.286 free"
    top, middle, bottom = lines[start + 1 : start + 4]
    assert top.startswith("┌2g.10gb───────────┐┌1g.5gb╌╌┐╔1g.5gb══╗╔1g.5gb══╗┌1g.5gb╌╌┐┌1g.5gb╌╌┐")
    assert middle.startswith("│mem               │╎idle    ╎║foreign ║║quarant…║╎leaving ╎╎new (st…╎    ·")
    assert bottom.startswith("└──────────────────┘└╌╌╌╌╌╌╌╌┘╚════════╝╚════════╝")
    assert lines[start + 4 :] == [
        "  unit 4: 1g.5gb  quarantined  MIG-stuck",
        "  unit 6: 1g.5gb  team-a/new (starting)",
        "4 GPUs: 2.029 used, 1.686 free, 1 idle instance",
    ]


def test_whole_and_shared_gpus(mapped: Cli) -> None:
    lines = mapped.ok("gpus", "node-a").lines
    assert lines[0] == "node-a/0  V100  16160 MiB  0.60 used  0.40 free"
    assert lines[1].startswith("┌0.50, 8080 MiB")
    assert "half" in lines[2]
    assert "6464 MiB free" in lines[2]
    assert lines[4] == "  0.10, 1616 MiB, software  team-a/a-workload-with-a-long-name"
    assert lines[7].startswith("┃big ▒▒▒")
    assert "16160 MiB free" in lines[11]


def test_nothing_is_wider_than_80_columns_off_a_terminal(mapped: Cli) -> None:
    assert max(map(len, mapped.ok("gpus").lines)) <= 80


def test_wide_writes_out_every_share(mapped: Cli) -> None:
    out = mapped.ok("gpus", "-o", "wide").out
    assert "  unit 0: 2g.10gb  team-a/mem  MIG-mem" in out
    assert "  whole  team-a/big" in out


@pytest.mark.parametrize("name", ["node-b", "node-b/0", "GPU-node-b-0", "MIG-mem"])
def test_a_gpu_is_known_by_every_name_it_has(mapped: Cli, name: str) -> None:
    assert mapped.ok("gpus", name, "-o", "name").lines == ["gpu/node-b/0"]


def test_a_gpu_that_is_none(mapped: Cli) -> None:
    result = mapped("gpus", "node-c")
    assert result.code == 3
    assert "GPUs: node-a/0, node-a/1, node-a/2, node-b/0" in result.err


def test_the_map_for_machines(mapped: Cli) -> None:
    body = json.loads(mapped.ok("gpus", "node-b", "-o", "json").out)
    assert body["kind"] == "GpuMap"
    (gpu,) = body["gpus"]
    assert (gpu["units"], gpu["used"], gpu["free"]) == (8, 0.429, 0.286)
    assert gpu["blocks"][0] == {
        "state": "busy", "size": 2, "title": "2g.10gb", "workload": "mem", "project": "team-a",
        "start": 0, "uuid": "MIG-mem",
    }  # fmt: skip
    assert [block["state"] for block in gpu["blocks"]] == [
        "busy", "idle", "foreign", "quarantined", "leaving", "starting", "free"
    ]  # fmt: skip


def test_the_map_as_a_picture_needs_nothing_from_elsewhere(mapped: Cli) -> None:
    out = mapped.ok("gpus", "-o", "svg").out
    root = ElementTree.fromstring(out)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "2g.10gb" in out
    assert "url(http" not in out
    assert "@font-face" not in out


def test_no_gpus_at_all(team: Cli) -> None:
    result = team.ok("gpus")
    assert (result.out, result.err) == ("", "no GPUs: no node has reported any\n")


def test_an_unknown_output_setting(team: Cli) -> None:
    team.environ["MIGCTL_OUTPUT"] = "xml"
    assert team("gpus").code == 2


@given(
    sizes=st.lists(st.integers(1, 50_000), min_size=1, max_size=12),
    width=st.integers(60, 200),
)
def test_columns_of_shared_memory_fill_the_line_and_follow_the_sizes(sizes: list[int], width: int) -> None:
    columns = picture.share_out(sizes, width, equal=False)
    assert sum(columns) == width
    assert min(columns) >= picture.NARROWEST
    ordered = sorted(zip(sizes, columns, strict=True))
    assert all(a[1] <= b[1] + 1 for a, b in pairwise(ordered))


@given(starts=st.sets(st.integers(0, 6)), width=st.integers(40, 300))
def test_blocks_fill_a_mig_gpu_and_lines_stay_in_the_width(starts: set[int], width: int) -> None:
    gpu = scenes.gpu("node-b", 0, A100)
    idle = tuple(Instance("1g.5gb", start, 1, InstanceState.IDLE) for start in sorted(starts))
    seen = fleet.build([scenes.node("node-b", replace(gpu, instances=idle))], [])
    (only,) = seen.gpus
    row = blocks(only, seen)
    assert sum(block.size for block in row) == 8
    assert [block.start for block in row if block.title] == sorted(starts)
    assert free(only) == 1.0
    assert all(cell_len(text_of(line)) <= max(width, 40) for line in picture.draw(only, seen, width)[1:4])


@given(text=st.text(max_size=30), width=st.integers(0, 40))
def test_cut_text_is_never_too_wide(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width


@pytest.mark.parametrize(
    ("ready", "cordoned", "fenced", "said"),
    [
        pytest.param(True, False, "XID 79", "fenced: XID 79", id="fenced"),
        pytest.param(False, False, "", "node not ready", id="not ready"),
        pytest.param(True, True, "", "node cordoned", id="cordoned"),
    ],
)
def test_a5_what_may_not_be_used_is_nowhere_called_free(
    cli: Cli, ready: bool, cordoned: bool, fenced: str, said: str
) -> None:
    gpus = (scenes.gpu("node-a", 0, V100, fenced=fenced), scenes.gpu("node-a", 1, A100, fenced=fenced))
    node = scenes.node("node-a", *gpus, ready=ready)
    cli.do(lambda cluster: cluster.create(msgspec.structs.replace(node, spec=NodeSpec(cordoned=cordoned))))
    shown = cli.ok("gpus").lines
    assert shown[0] == f"node-a/0  V100  16160 MiB  0.00 used  0.00 free  {said}"
    assert "16160 MiB closed" in shown[2]
    assert shown[-1] == "2 GPUs: 0.00 used, 0.00 free"
    assert not any("free" in line for line in (*shown[1:4], *shown[5:8]))
    found = json.loads(cli.ok("gpus", "-o", "json").out)["gpus"]
    assert {block["state"] for gpu in found for block in gpu["blocks"]} == {"closed"}
    assert [gpu["free"] for gpu in found] == [0.0, 0.0]
    (line,) = cli.ok("top", "nodes", "--no-headers").lines
    assert line.split()[1:3] == ["0.00", "0.00"]
