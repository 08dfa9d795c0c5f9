"""`make demo`: a simulated A100-40GB and two V100s, shared step by step with the real command line.

Every step shows the commands and their output. The demo checks the result (placements, neighbours'
process ids and uptimes) and ends with code 1 where a check fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import psutil

from migctl.backends.http.client import RemoteControlPlane
from migctl.objects import Claim, Phase, T, Workload
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

SIMULATED = "a100-40gb=1,v100=2"
WAIT_S = 20.0
HOLD = ("--", "sleep", "600")
TRAININGS = ("by-memory", "by-profile-1", "by-profile-2")


R = TypeVar("R")


class NotSo(Exception):
    """A check of the demo failed."""


class Demo:
    """Runs commands and checks their results."""

    def __init__(self, home: Path) -> None:
        self._home = home
        own = {"MIGCTL_HOME": str(home), "MIGCTL_CONFIG": str(home / "config.toml")}
        self._environment = {**os.environ, **own}

    def say(self, text: str) -> None:
        print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)

    def run(self, *arguments: str) -> str:
        """Type a command, show it and what it prints."""
        print(f"$ migctl {' '.join(arguments)}", flush=True)
        done = self._migctl(*arguments)
        print((done.stdout + done.stderr).rstrip(), flush=True)
        if done.returncode != 0:
            raise NotSo(f"migctl {' '.join(arguments)} ended with code {done.returncode}")
        return done.stdout

    def look(self, kind: type[T]) -> tuple[T, ...]:
        """All objects of a kind, read over the socket as the command line reads them."""
        return asyncio.run(self._read(kind))

    async def _read(self, kind: type[T]) -> tuple[T, ...]:
        control = RemoteControlPlane(self._home / "migctl.sock")
        return (await control.list(kind)).items

    def pods(self) -> dict[str, Claim]:
        """Every workload's newest pod."""
        oldest_first = sorted(self.look(Claim), key=lambda claim: int(claim.meta.version))
        return {claim.spec.workload: claim for claim in oldest_first}

    def names(self) -> list[str]:
        return [workload.meta.name for workload in self.look(Workload)]

    def running(self, *names: str) -> dict[str, Claim]:
        """Wait until these workloads run; their pods."""

        def look() -> dict[str, Claim]:
            pods = self.pods()
            up = all(name in pods and pods[name].status.phase is Phase.RUNNING for name in names)
            return {name: pods[name] for name in names} if up else {}

        return self.until(f"{', '.join(names)} running", look)

    def until(self, what: str, look: Callable[[], R]) -> R:
        """The first true answer of `look`."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if answer := look():
                return answer
            time.sleep(0.1)
        raise NotSo(f"{what}: not within {WAIT_S:.0f} s")

    def check(self, what: str, holds: bool) -> None:
        if not holds:
            raise NotSo(what)
        print(f"  ok: {what}", flush=True)

    def _migctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "migctl", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def end(self) -> None:
        self._migctl("down", "--workloads")


def share(pod: Claim) -> DeviceShare:
    assert pod.status.allocation is not None
    return pod.status.allocation.devices[0]


def placement(pod: Claim) -> tuple[str | None, int | None]:
    return share(pod).profile, share(pod).start


def uptimes(pods: Iterable[Claim]) -> dict[int, float]:
    """Seconds since each pod's process started, by its pid."""
    processes = [psutil.Process(pod.status.pid) for pod in pods]
    return {process.pid: time.time() - process.create_time() for process in processes}


def play(demo: Demo) -> None:
    demo.say("One A100 with MIG on and no instances, one V100: simulated, but planned and cut by the real code")
    demo.run("up", "--simulate", SIMULATED, "--detach")
    demo.run("project", "create", "team-a", "--quota", "2")
    demo.run("project", "set", "team-a")
    three_trainings(demo)
    a_preemption(demo)
    an_idle_instance(demo)
    software_fractions(demo)


def three_trainings(demo: Demo) -> None:
    demo.say("One requests memory, two a MIG profile: three instances side by side on one GPU")
    demo.run("submit", "by-memory", "--gpu-memory", "10GB", *HOLD)
    demo.run("submit", "by-profile-1", "--mig-profile", "2g.10gb", *HOLD)
    demo.run("submit", "by-profile-2", "--mig-profile", "2g.10gb", *HOLD)
    pods = demo.running(*TRAININGS)
    demo.run("gpus")
    starts = sorted(pod_share.start or 0 for pod_share in map(share, pods.values()))
    demo.check("three 2g.10gb at starts 0, 2 and 4", starts == [0, 2, 4])


def a_preemption(demo: Demo) -> None:
    demo.say("An interactive 3g.20gb needs units 4 to 7: one training makes room, the others do not notice")
    before = demo.running(*TRAININGS)
    victim = next(name for name, pod in before.items() if share(pod).start == 4)
    neighbours = [name for name in TRAININGS if name != victim]
    old = uptimes(before[name] for name in neighbours)
    demo.run("submit", "notebook", "--interactive", "--mig-profile", "3g.20gb", *HOLD)
    demo.check("3g.20gb was created at start 4", placement(demo.running("notebook")["notebook"]) == ("3g.20gb", 4))
    new = uptimes(demo.running(*neighbours).values())
    demo.check("its neighbours run in the same processes", new.keys() == old.keys())
    for pid, seconds in new.items():
        demo.check(f"pid {pid}: up for {old[pid]:.1f} s before, {seconds:.1f} s now", seconds > old[pid])
    demo.say(f"{victim} requested memory, which any GPU can give: it starts again as a software fraction of a V100")
    moved = share(demo.running(victim)[victim])
    demo.run("gpus")
    demo.run("describe", victim)
    demo.check(f"{victim} has {moved.memory_mib} MiB by software", moved.backing is Backing.SOFTWARE)


def an_idle_instance(demo: Demo) -> None:
    demo.say("Deleted work leaves its instance behind, idle; the next equal request gets it without a driver call")
    old = demo.running("by-profile-1", "notebook")
    demo.run("delete", "by-profile-1", "notebook")
    demo.until("they are deleted", lambda: not {"by-profile-1", "notebook"} & set(demo.names()))
    demo.run("gpus")
    demo.run("submit", "again", "--mig-profile", "2g.10gb", *HOLD)
    demo.run("submit", "wide", "--mig-profile", "3g.20gb", *HOLD)
    new = demo.running("again", "wide")
    for name, before in (("again", "by-profile-1"), ("wide", "notebook")):
        mig = new[name].status.devices
        demo.check(f"{name} has the very instance of {before}: {mig[0]}", mig == old[before].status.devices)


def software_fractions(demo: Demo) -> None:
    demo.say("The A100 has no room for half a GPU: the same request becomes a software fraction of a V100, twice")
    demo.run("submit", "frac05-1", "-g", "0.5", *HOLD)
    demo.run("submit", "frac05-2", "-g", "0.5", *HOLD)
    shares = [share(pod) for pod in demo.running("frac05-1", "frac05-2").values()]
    demo.check("both are software shares", {s.backing for s in shares} == {Backing.SOFTWARE})
    demo.check("of one GPU, 8080 MiB each", len({s.gpu for s in shares}) == 1 and shares[0].memory_mib == 8080)
    demo.run("exec", "frac05-1", "nvidia-smi")
    demo.say("A MIG profile cannot be served by a V100: it waits, and says why")
    demo.run("submit", "picky", "--mig-profile", "3g.20gb", *HOLD)
    demo.until("picky has a reason", lambda: "picky" in (pods := demo.pods()) and pods["picky"].status.message)
    demo.run("why", "picky")
    demo.run("gpus")
    demo.run("list")
    demo.run("project", "list")


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="migctl-demo-"))
    demo = Demo(home)
    started = time.monotonic()
    try:
        play(demo)
    except NotSo as error:
        print(f"\nnot so: {error}", file=sys.stderr)
        return 1
    finally:
        demo.end()
        shutil.rmtree(home, ignore_errors=True)
    print(f"\nAll as promised, in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
