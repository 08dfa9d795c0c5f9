"""`submit --verdict` on a running `migctl up`: what it says comes true, and asking changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture(scope="module")
def busy(embedded: Callable[[str], Embedded]) -> Embedded:
    """An A100 with 2g.10gb in use, and a V100 held whole."""
    one = embedded("a100-40gb=1,v100=1")
    one.ok("submit", "two", "--mig-profile", "2g.10gb", *HOLD)
    one.ok("submit", "whole", "-g", "1", *HOLD)
    one.running("two", "whole")
    return one


def test_what_would_start_starts_there(busy: Embedded) -> None:
    before = busy.look_at_everything()
    told = busy.json("submit", "half", "--mig-profile", "3g.20gb", "--verdict")
    assert busy.look_at_everything() == before
    assert told["prospect"] == "starts"
    busy.ok("submit", "half", "--mig-profile", "3g.20gb", *HOLD)
    busy.running("half")
    (share,) = told["places"][0]["devices"]
    held = [(i.profile, i.start) for gpu in busy.report().gpus for i in gpu.instances if gpu.uuid == share["gpu"]]
    assert (share["profile"], share["start"]) in held


def test_what_would_wait_waits_for_that_reason(busy: Embedded) -> None:
    result = busy.run("submit", "big", "--mig-profile", "7g.40gb", "--verdict", "-o", "json")
    assert result.returncode == 5, result
    busy.ok("submit", "big", "--mig-profile", "7g.40gb", *HOLD)
    (reason,) = busy.json("why", "big")["reasons"]
    assert reason.startswith("no-free-gpu: ")
    assert reason.partition("; ")[0].removeprefix("no-free-gpu: ") in result.stdout
