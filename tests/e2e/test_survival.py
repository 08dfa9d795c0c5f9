"""SIGKILL for `migctl up` at any moment, then `up` again: workloads, instances and processes agree."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from migctl.objects import Claim, Phase
from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.environment import CLAIM as CLAIM_VARIABLE
from tests.depth import sampled
from tests.e2e.embedded import HOLD, Embedded, share
from tests.limits import WAIT_S

SIMULATED = "a100-40gb=1,v100=1"
REQUESTS = (
    ("--mig-profile", "2g.10gb"),
    ("--mig-profile", "1g.5gb"),
    ("-g", "0.3"),
    ("--gpu-memory", "4GB"),
    ("-g", "0.5"),
)


def processes() -> Counter[str]:
    """How many launchers each claim has."""
    found: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            claim = process.environ().get(CLAIM_VARIABLE)
            if claim and process.status() != psutil.STATUS_ZOMBIE and "migctl-launcher" in process.cmdline():
                found[claim] += 1
        except psutil.Error:
            continue
    return found


def disagreement(one: Embedded) -> str:
    """Where objects, the agent's report and the process table differ; "" where they agree."""
    report = one.report()
    claims = {claim.meta.uid: claim for claim in one.look(Claim)}
    granted = {uid: claim for uid, claim in claims.items() if claim.status.allocation is not None}
    if set(report.held) != set(granted):
        return f"the agent holds {report.held}, the store says {set(granted)}"
    for claim in granted.values():
        if claim.status.phase is not Phase.RUNNING:
            return f"{claim.meta.name} has a place and does not run"
    launched = processes()
    if any(launched[uid] != 1 for uid in granted):
        return f"launchers {launched}, running claims {set(granted)}"
    return _misplaced(report, granted)


def _misplaced(report: NodeReport, granted: dict[str, Claim]) -> str:
    there: set[tuple[str, str | None, int | None]]
    there = {(i.claim, i.profile, i.start) for gpu in report.gpus for i in gpu.instances if i.claim}
    there |= {(part.claim, None, None) for gpu in report.gpus for part in gpu.parts}
    wanted = {(uid, share(claim).profile, share(claim).start) for uid, claim in granted.items()}
    if there != wanted:
        return f"on the GPUs: {there}; in the store: {wanted}"
    for gpu in report.gpus:
        taken = [unit for i in gpu.instances for unit in range(i.start, i.start + i.size)]
        if len(taken) != len(set(taken)):
            return f"instances overlap: {gpu.instances}"
    return ""


def settled(one: Embedded, names: list[str]) -> None:
    """Everything that fits runs, and objects, report and processes agree."""

    def look() -> bool:
        return one.names() == sorted(names) and not disagreement(one)

    try:
        one.until("objects, report and processes agree", look)
    except AssertionError as error:
        raise AssertionError(f"{disagreement(one)}\n{error}") from error


@pytest.mark.parametrize("seed", sampled([0, 1, 2], 3))
def test_killed_at_any_moment_and_started_again_nothing_is_lost(embedded: Callable[[str], Embedded], seed: int) -> None:
    chance = random.Random(seed)
    one = embedded(SIMULATED)
    names: list[str] = []
    for round_ in range(3):
        doomed = [chance.choice(names)] if names and chance.random() < 0.6 else []
        new = [f"job-{round_}-{i}" for i in range(2)]
        with ThreadPoolExecutor() as people:
            work = [people.submit(one.run, "submit", name, *chance.choice(REQUESTS), *HOLD) for name in new]
            work += [people.submit(one.run, "delete", name) for name in doomed]
            time.sleep(chance.uniform(0.2, 1.2))
            one.kill()
            done = [task.result() for task in work]
        one.ok("up", "--detach")
        stored = set(one.names())
        for name, answer in zip(new, done, strict=False):
            assert answer.returncode != 0 or name in stored, f"{name} was acknowledged and is lost"
        names = sorted(stored - {name for name, a in zip(doomed, done[len(new) :], strict=True) if a.returncode == 0})
        settled(one, names)


def test_running_work_does_not_notice(embedded: Callable[[str], Embedded]) -> None:
    one = embedded(SIMULATED)
    one.ok("submit", "mig", "--mig-profile", "3g.20gb", *HOLD)
    one.ok("submit", "soft", "-g", "0.5", *HOLD)
    one.ok("submit", "waits", "--mig-profile", "7g.40gb", *HOLD)
    before = one.running("mig", "soft")
    one.kill()
    assert "not running" in one.fails(1, "list")
    one.ok("up", "--detach")
    after = one.running("mig", "soft")
    for name in ("mig", "soft"):
        assert after[name].status.pid == before[name].status.pid
        assert after[name].status.devices == before[name].status.devices
    assert one.status("waits") is Phase.PENDING
    settled(one, ["mig", "soft", "waits"])


def test_a_workload_that_ends_while_nobody_looks_is_completed(embedded: Callable[[str], Embedded]) -> None:
    one = embedded("v100=1")
    one.ok("submit", "brief", "-g", "0.5", "--", "sh", "-c", f"while [ ! -e {one.home}/go ]; do sleep 0.05; done")
    pid = one.running("brief")["brief"].status.pid
    one.kill()
    (one.home / "go").touch()
    assert pid is not None
    psutil.Process(pid).wait(WAIT_S)
    one.ok("up", "--detach")
    one.wait("brief", Phase.COMPLETED)
