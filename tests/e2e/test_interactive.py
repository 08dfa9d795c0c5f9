"""Interactive fractions of one V100: acceptance cases B1 to B4 and B7."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.embedded import HOLD, Embedded, share


def test_interactive_work_shares_a_gpu_stays_and_frees_it(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    v100.ok("project", "create", "team-a", "--quota", "1")  # B1
    v100.ok("project", "set", "team-a")
    v100.ok("submit", "int05", "-g", "0.5", "--interactive", *HOLD)  # B3
    v100.ok("submit", "int03", "-g", "0.3", "--interactive", "--", "sh", "-c", "sleep 0.2")
    pods = v100.running("int05")
    assert share(pods["int05"]).memory_mib == 8080
    v100.until("0.8 GPUs are non-preemptible", lambda: v100.project("team-a").non_preemptible == 0.8)
    restarted = v100.until(  # B4: what ends is started again
        "int03 was started again", lambda: [p for p in v100.pods("int03") if p.spec.attempt > 0]
    )
    assert restarted
    assert not v100.status("int03").finished
    assert v100.running("int05")["int05"].status.pid == pods["int05"].status.pid
    v100.ok("delete", "int05", "int03")  # B7
    v100.until("both are gone", lambda: v100.names() == [])
    v100.until("nothing is allocated", lambda: v100.project("team-a").allocated == 0)
