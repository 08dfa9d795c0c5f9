"""`migctl simulate` through its door."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from migctl.simulate.report import COLUMNS
from tests.cli.conftest import Cli

SMALL = ("simulate", "--fleet", "a100-40gb=8", "--arrivals", "200", "--seed", "3")


def test_a_line_for_each_policy_the_same_every_time(cli: Cli) -> None:
    shown = cli.ok(*SMALL, "--mix", "big")
    assert shown.lines[0].split()[:4] == ["POLICY", "REQUESTS", "SLICES", "USED"]
    names = [line.split("   ")[0] for line in shown.lines[1:]]
    assert names[:2] == ["migctl", "migctl, 1 move"]
    assert {"first-fit", "best-fit", "most-placements-left", "fgd", "hami", "hami-spread", "dra"} < set(names)
    assert names[-1] == "re-packing for free"
    assert cli.ok(*SMALL, "--mix", "big").out == shown.out


def test_csv_and_json_carry_every_figure(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    shown = cli.ok(*SMALL, "--policy", "best-fit", "--policy", "migctl", "--csv", str(file), "-o", "json")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["policy"] for row in rows] == ["best-fit", "migctl"]
    policies = json.loads(shown.out)["policies"]
    assert [tuple(policy) for policy in policies] == [COLUMNS, COLUMNS]
    assert [f"{policy['slices']}" for policy in policies] == [row["slices"] for row in rows]


def test_with_a_queue_everybody_is_served_and_waits(cli: Cli) -> None:
    shown = cli.ok(*SMALL, "--queue", "--policy", "migctl", "--load", "0.9")
    header, line = (row.split("   ") for row in shown.lines)
    cells = dict(zip((h.strip() for h in header if h), (c.strip() for c in line if c.strip()), strict=True))
    assert cells["REQUESTS"] == "100.0%"
    assert cells["UNSERVED"] == "0"
    assert cells["WAIT"] != "0 s"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fleet", "a100-40gb"), "'a100-40gb' says not how many GPUs: a100-40gb=100"),
        (("--fleet", "gtx=1"), "no GPU model is called 'gtx'"),
        (("--fleet", "a100-40gb=1,v100=1"), "one fleet has either"),
        (("--fleet", ""), "a fleet needs GPUs"),
        (("--mix", "tiny"), "no mix is called 'tiny'"),
        (("--policy", "worst-fit"), "no policy is called 'worst-fit'"),
    ],
)
def test_what_cannot_be_simulated_is_said(cli: Cli, words: tuple[str, ...], said: str) -> None:
    result = cli("simulate", "--arrivals", "1", *words)
    assert result.code == 2
    assert said in result.err
    assert "hint: " in result.err
