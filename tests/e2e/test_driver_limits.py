"""Shares that the driver bounds, from submission to deletion, on a simulated driver that can."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.e2e.embedded import HOLD, Embedded


def test_a_share_is_backed_by_the_drivers_own_limit_and_says_so(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100:limits=1")
    v100.ok("submit", "half", "-g", "0.5", *HOLD)
    (pod,) = v100.running("half").values()
    assert "driver-limit" in v100.ok("describe", "half")
    assert "driver-limit" in v100.ok("gpus")
    cgroup = v100.home / "agent" / "cgroups" / "migctl" / pod.meta.uid
    assert (cgroup / "cgroup.procs").read_text().split() == [str(pod.status.pid)]
    assert "8080MiB" in v100.ok("exec", "half", "nvidia-smi")
    beside = v100.ok("exec", "half", "--", "sh", "-c", "echo $$")
    assert beside.strip() in (cgroup / "cgroup.procs").read_text().split()
    v100.delete_all()
    assert v100.report().gpus[0].parts == ()
    assert json.loads((v100.home / "simulated.json").read_text())["gpus"][0]["memory_limits"] == {}
