"""Dynamic MIG on one A100-40GB without instances: acceptance cases F2, F3, F4, F6, F7 and F10."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import psutil

from migctl.objects import Claim, Phase
from solver.model.catalog import find
from solver.model.cluster import Backing
from tests.e2e.embedded import HOLD, Embedded, share

TRAININGS = ("by-memory", "two-1", "two-2")


def team_a(start: Callable[[str], Embedded], simulate: str = "a100-40gb=1", quota: str = "2") -> Embedded:
    one = start(simulate)
    one.ok("project", "create", "team-a", "--quota", quota)
    one.ok("project", "set", "team-a")
    return one


def three_trainings(a100: Embedded) -> dict[str, Claim]:
    a100.ok("submit", "by-memory", "--gpu-memory", "10GB", *HOLD)
    a100.running("by-memory")
    a100.ok("submit", "two-1", "--mig-profile", "2g.10gb", *HOLD)
    a100.ok("submit", "two-2", "--mig-profile", "2g.10gb", *HOLD)
    return a100.running(*TRAININGS)


def place(pod: Claim) -> tuple[str | None, int | None]:
    return share(pod).profile, share(pod).start


def started(pod: Claim) -> tuple[int | None, float]:
    return pod.status.pid, psutil.Process(pod.status.pid).create_time()


def instances(one: Embedded) -> list[tuple[str, int, str]]:
    return sorted((i.profile, i.start, i.state.value) for gpu in one.report().gpus for i in gpu.instances)


def test_f2_f3_memory_and_profiles_side_by_side(embedded: Callable[[str], Embedded]) -> None:
    a100 = team_a(embedded)
    pods = three_trainings(a100)
    assert sorted(map(place, pods.values())) == [("2g.10gb", 0), ("2g.10gb", 2), ("2g.10gb", 4)]
    a100.until("quota use is 0.857", lambda: a100.project("team-a").allocated == 0.857)
    (uuid,) = pods["by-memory"].status.devices
    listed = a100.ok("exec", "by-memory", "--", "nvidia-smi", "-L")
    assert listed.count("MIG-") == 1
    assert uuid in listed
    visible = a100.ok("exec", "by-memory", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES")
    assert visible.split() == [uuid, uuid]


def test_f4_f5_exactly_one_training_makes_room_and_runs_again_later(embedded: Callable[[str], Embedded]) -> None:
    a100 = team_a(embedded)
    before = three_trainings(a100)
    victim = next(name for name, pod in before.items() if place(pod)[1] == 4)
    neighbours = [name for name in TRAININGS if name != victim]
    processes = {name: started(before[name]) for name in neighbours}
    a100.ok("submit", "desk", "--interactive", "--mig-profile", "3g.20gb", *HOLD)
    assert place(a100.running("desk")["desk"]) == ("3g.20gb", 4)
    after = a100.running(*neighbours)
    assert {name: started(after[name]) for name in neighbours} == processes
    assert a100.status(victim) is Phase.PENDING
    assert "desk" in a100.ok("describe", victim)
    a100.ok("delete", "desk")
    again = a100.running(victim)
    left = [(p.name, s) for p in find("a100-40gb").profiles if p.name.endswith(".10gb") for s in p.starts if s >= 4]
    assert place(again[victim]) in left, "it asked for 10 GB, and the notebook left half of the GPU"
    assert {name: started(pod) for name, pod in a100.running(*neighbours).items()} == processes


def test_f6_an_idle_instance_stays_is_reused_and_goes_when_its_units_are_needed(
    embedded: Callable[[str], Embedded],
) -> None:
    a100 = team_a(embedded)
    a100.ok("submit", "first", "--mig-profile", "2g.10gb", *HOLD)
    first = a100.running("first")["first"]
    a100.ok("delete", "first")
    a100.until("it is idle", lambda: instances(a100) == [("2g.10gb", share(first).start, "idle")])
    a100.ok("submit", "second", "--mig-profile", "2g.10gb", *HOLD)
    second = a100.running("second")["second"]
    assert second.status.devices == first.status.devices
    a100.ok("delete", "second")
    a100.ok("submit", "all", "--mig-profile", "7g.40gb", *HOLD)
    a100.running("all")
    a100.until("only 7g.40gb is left", lambda: instances(a100) == [("7g.40gb", 0, "busy")])


def test_f7_memory_falls_back_to_software_and_a_profile_waits(embedded: Callable[[str], Embedded]) -> None:
    both = team_a(embedded, "a100-40gb=1,v100=1", quota="3")
    both.ok("submit", "all", "--mig-profile", "7g.40gb", *HOLD)
    both.running("all")
    both.ok("submit", "by-memory", "--gpu-memory", "5G", *HOLD)
    device = share(both.running("by-memory")["by-memory"])
    assert (device.backing, device.memory_mib) == (Backing.SOFTWARE, 4769)
    both.ok("submit", "picky", "--mig-profile", "1g.5gb", *HOLD)
    both.until("a reason", lambda: both.workload("picky").status.message)
    assert both.status("picky") is Phase.PENDING
    assert "1g.5gb" in both.ok("why", "picky")


def test_f10_a_hundred_submits_at_once_never_overpack(embedded: Callable[[str], Embedded]) -> None:
    a100 = team_a(embedded, quota="-1")
    a100.submit_many([f"job-{i}" for i in range(100)], {"profile": "1g.5gb"})
    names = seven_running(a100, without=())
    assert sorted(instances(a100)) == [("1g.5gb", start, "busy") for start in range(7)]
    a100.ok("delete", *names)
    seven_running(a100, without=names)
    assert sorted(instances(a100)) == [("1g.5gb", start, "busy") for start in range(7)]


def seven_running(a100: Embedded, without: Sequence[str]) -> list[str]:
    """Names of the seven workloads that run, once they are seven and none of `without`."""

    def look() -> list[str]:
        names = a100.in_phase(Phase.RUNNING)
        assert len(names) <= 7
        return names if len(names) == 7 and not set(names) & set(without) else []

    return a100.until("seven run", look)
