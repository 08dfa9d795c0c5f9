"""`migctl simulate` through its door."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from migctl.simulate.results.report import COLUMNS
from tests.migctl.cli.conftest import Cli

SMALL = ("simulate", "--fleet", "a100-40gb=8", "--arrivals", "200", "--seed", "3")


def test_a_line_for_each_policy_the_same_every_time(cli: Cli) -> None:
    shown = cli.ok(*SMALL, "--mix", "big")
    assert shown.lines[0].split()[:4] == ["POLICY", "REQUESTS", "SLICES", "USED"]
    names = [line.split("   ")[0] for line in shown.lines[1:]]
    assert names[:2] == ["migctl", "migctl, 1 move"]
    assert {"first-fit", "best-fit", "most-placements-left", "fgd", "hami", "hami-spread", "dra"} < set(names)
    assert names[-1] == "re-packing for free"
    assert cli.ok(*SMALL, "--mix", "big").out == shown.out
    assert shown.err == ""


def test_csv_and_json_carry_every_figure(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    shown = cli.ok(*SMALL, "--policy", "best-fit", "--policy", "migctl", "--csv", str(file), "-o", "json")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["policy"] for row in rows] == ["best-fit", "migctl"]
    document = json.loads(shown.out)
    assert document["kind"] == "Simulation"
    policies = document["policies"]
    assert [tuple(policy) for policy in policies] == [COLUMNS, COLUMNS]
    assert [f"{policy['slices']}" for policy in policies] == [row["slices"] for row in rows]


def test_with_a_queue_everybody_is_served_and_waits(cli: Cli) -> None:
    shown = cli.ok(*SMALL, "--queue", "--policy", "migctl", "--load", "0.9")
    header, line = (row.split("   ") for row in shown.lines)
    cells = dict(zip((h.strip() for h in header if h), (c.strip() for c in line if c.strip()), strict=True))
    assert cells["REQUESTS"] == "100.0%"
    assert cells["UNSERVED"] == "0"
    assert cells["WAIT"] != "0 s"


def test_a_chart_is_drawn_the_same_each_time(cli: Cli, tmp_path: Path) -> None:
    picture, again, photo = (tmp_path / name for name in ("a.svg", "b.svg", "c.png"))
    for file in (picture, again, photo):
        cli.ok(*SMALL, "--policy", "migctl", "--policy", "fgd", "--chart", str(file))
    assert photo.read_bytes().startswith(b"\x89PNG")
    assert picture.read_text().startswith("<?xml")
    assert picture.read_text() == again.read_text()


def test_a_trace_is_played_on_its_own_nodes(cli: Cli, tmp_path: Path) -> None:
    pods, nodes = tmp_path / "pods.csv", tmp_path / "nodes.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\nn0,8000,8000,1,T4\n")
    lines = (
        f"{name},1000,1000,1,{milli},,{at},{at + 10}"
        for name, milli, at in (("a", 600, 0), ("b", 600, 5), ("c", 600, 10))
    )
    pods.write_text(
        "\n".join(("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time", *lines))
    )
    words = ("simulate", "--trace", str(pods), "--nodes", str(nodes), "--policy", "migctl", "-o", "json")
    assert json.loads(cli.ok(*words).out)["policies"][0]["admitted"] == 2
    assert json.loads(cli.ok(*words, "--queue").out)["policies"][0]["waiting"] == 5.0
    assert json.loads(cli.ok(*words, "--stay").out)["policies"][0]["admitted"] == 1
    assert json.loads(cli.ok(*words, "--fill", "3").out)["policies"][0]["arrivals"] == 5


def test_a_file_that_cannot_be_written_is_said_before_anything_is_computed(cli: Cli, tmp_path: Path) -> None:
    result = cli(*SMALL, "--policy", "migctl", "--csv", str(tmp_path / "missing" / "results.csv"))
    assert (result.code, result.out) == (2, "")
    assert "results.csv cannot be written: there is no folder" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fleet", "a100-40gb"), "'a100-40gb' says not how many GPUs: a100-40gb=100"),
        (("--fleet", "gtx=1"), "no GPU model is called 'gtx'"),
        (("--fleet", "a100-40gb=1,v100=1"), "one fleet has either"),
        (("--fleet", ","), "a fleet needs GPUs"),
        (("--csv", "/nowhere/at/all.csv"), "there is no folder /nowhere/at"),
        (("--csv", "/tmp"), "it is a folder"),
        (("--chart", "/nowhere/chart.svg"), "there is no folder /nowhere"),
        (("--mix", "tiny"), "no mix is called 'tiny'"),
        (("--chart", "chart.txt"), "chart.txt is no picture"),
        (("--stay",), "a trace needs both --trace and --nodes"),
        (("--trace", "pods.csv"), "a trace needs both --trace and --nodes"),
        (("--policy", "worst-fit"), "no policy is called 'worst-fit'"),
    ],
)
def test_what_cannot_be_simulated_is_said(cli: Cli, words: tuple[str, ...], said: str) -> None:
    result = cli("simulate", "--arrivals", "1", *words)
    assert result.code == 2
    assert said in result.err
    assert "hint: " in result.err
