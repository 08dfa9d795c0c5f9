"""A day in an agent's life, interrupted at any point that it passes.

The points are not listed anywhere: a first run without faults tells every driver call and every
file operation in the agent's directory that it makes, so that a new call is covered at once.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from nodeagent.agent import Agent
from nodeagent.contract.allocation import AgentError, Allocation, Busy
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.gpu.mig_mode import Outcome
from nodeagent.journal.records import GpuRecord
from nodeagent.nvml import Nvml, NvmlError
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.shares.host_shares import HostShares
from nodeagent.shares.time_slices import ComputePolicy
from nodeagent.shim.libraries import Libraries
from nodeagent.simulated_nvml.faults import Fault, Faults, parse
from nodeagent.simulated_nvml.hardware import SimulatedHardware, fail
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import StateFile
from nodeagent.upkeep.error_watch import ErrorWatch
from nodeagent.upkeep.upkeep import Upkeep
from solver.model.catalog import models
from solver.model.cluster import InstanceState
from solver.model.geometry import Placement, legal
from tests.nodeagent.machines import NODE, Machine, allocation, mig, part, whole

FILE_OPERATIONS = (
    "open",
    "write",
    "fsync",
    "fdatasync",
    "replace",
    "unlink",
    "ftruncate",
    "posix_fallocate",
    "mkdir",
    "rename",
    "rmdir",
    "symlink",
)


@dataclass(frozen=True)
class Point:
    """The `nth` operation (from 1) called `name` while the agent was at `step`."""

    step: str
    name: str
    nth: int


@dataclass
class Injector:
    """Counts points as they pass and acts at one of them.

    action  "kill", an errno's name for a file operation, or a Fault for a driver call
    """

    directory: Path
    at: Point | None = None
    action: str | Fault = "kill"
    step: str = ""
    passed: list[Point] = field(default_factory=list)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, name: str) -> bool:
        """Whether this is the point to act at. Does not come back when the action is to be killed."""
        key = (self.step, name)
        with self._lock:  # a claim's GPUs are prepared side by side
            self._counts[key] = self._counts.get(key, 0) + 1
            point = Point(self.step, name, self._counts[key])
            self.passed.append(point)
        if point != self.at:
            return False
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def faults(self) -> PointFaults:
        return PointFaults(self)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Meet the agent's file operations too."""
        patches = [mock.patch.object(os, n, self._watched(n, getattr(os, n))) for n in FILE_OPERATIONS]
        patches.append(mock.patch.object(io, "open", self._watched("open", io.open)))
        with contextlib.ExitStack() as stack:
            for patch in patches:
                stack.enter_context(patch)
            yield

    def _watched(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(target: Any, *arguments: Any, **named: Any) -> Any:
            made = arguments[0] if name == "symlink" else target  # a symlink's target comes first
            if (name != "open" or _writes(*arguments)) and self._is_the_agents(made) and self.reach(name):
                code = getattr(errno, str(self.action))
                raise OSError(code, os.strerror(code))
            return operation(target, *arguments, **named)

        return watched

    def _is_the_agents(self, target: Any) -> bool:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
        return str(path).startswith(str(self.directory))


def _writes(mode: int | str = "r", *_: Any) -> bool:
    """Whether a file is opened for writing, by the flags of os.open or the mode of open."""
    return not set(mode).isdisjoint("wax+") if isinstance(mode, str) else bool(mode & (os.O_WRONLY | os.O_RDWR))


class PointFaults(Faults):
    """Driver calls as points: the injector says when, its action says what."""

    def __init__(self, injector: Injector) -> None:
        super().__init__()
        self._injector = injector
        self.hung: threading.Thread | None = None

    def meet(self, call: str) -> Fault | None:
        if not self._injector.reach(call):
            return None
        action = self._injector.action
        assert isinstance(action, Fault)
        if action.hang:
            self.hung = threading.current_thread()
            self.hanging.set()
            self.released.wait()
            return None
        return action


@dataclass(frozen=True, kw_only=True)
class HangsOnly(Deadlines):
    """No deadline for a slow machine, an expired one for the call that hangs. No clock is read."""

    faults: PointFaults

    def ended(self, thread: threading.Thread, seconds: float) -> bool:
        while thread.is_alive():
            if self.faults.hung is thread:
                return False
            thread.join(0.001)
        return True


def set_scene(scene: Path) -> None:
    """A foreign instance, a busy one with a process of ours, idle ones: two A100, a V100, an H100 with MIG off."""
    scene.mkdir(parents=True)
    machine = Machine(scene, "a100-40gb=2,v100:limits=1,h100:nomig")
    first, second, v100, h100 = (str(g["uuid"]) for g in machine.gpus())
    hardware = SimulatedHardware(machine.state)
    gi = hardware.create_gpu_instance(first, 19, 6)
    hardware.create_compute_instance(first, gi, 1)
    agent = machine.agent()
    busy = agent.prepare(allocation("busy", mig(first, "2g.10gb", 2))).devices[0].uuid
    machine.occupy(busy, 100, os.getpid(), "busy")
    idle = {"i": mig(first, "1g.5gb", 0), "j": mig(first, "1g.5gb", 1), "k": mig(second, "1g.5gb+me", 6)}
    for claim, share in idle.items():
        agent.prepare(allocation(claim, share))
        agent.unprepare(claim)
    agent.close()
    _leave_half_made(machine, second)
    fail(machine.state, first, xid=13)  # an error of a program: heard of, and no GPU is fenced for it
    for name in ("libcuda.so", "libnvidia-ml.so"):
        (scene / name).touch()
    foreign = hardware.instance(first, gi)["compute"][0]["uuid"]
    facts = {"gpus": [first, second, v100, h100], "busy": busy, "foreign": foreign}
    (scene / "facts.json").write_text(json.dumps(facts))


def _leave_half_made(machine: Machine, gpu: str) -> None:
    """A GPU instance without its compute instance, and the intent that says so: the next start must recover it."""
    faults = "nvmlGpuInstanceCreateComputeInstance=GPU_IS_LOST;nvmlGpuInstanceDestroy=GPU_IS_LOST"
    agent = machine.agent(Faults(parse(faults)))
    with contextlib.suppress(AgentError):
        agent.prepare(allocation("half", mig(gpu, "1g.5gb", 5)))
    agent.close()
    assert ("1g.5gb", 5) in machine.layout(1)


class Day:
    """What happens after the scene was set at `scene`."""

    def __init__(self, scene: Path) -> None:
        facts = json.loads((scene / "facts.json").read_text())
        self.scene = scene
        self.gpus: list[str] = facts["gpus"]
        self.busy: str = facts["busy"]
        self.foreign: str = facts["foreign"]

    def steps(self) -> list[tuple[str, Callable[[Agent], object]]]:
        first, second, v100, h100 = self.gpus
        create = allocation("create", mig(first, "1g.5gb", 4))
        replace = allocation("replace", mig(first, "1g.10gb", 0))
        reuse = allocation("reuse", mig(second, "1g.5gb+me", 6))
        pair = allocation("pair", mig(second, "2g.10gb", 0), mig(first, "1g.5gb", 5))
        media = allocation("media", mig(second, "1g.5gb+me", 4))
        torn = allocation("torn", mig(second, "1g.5gb", 3), mig(first, "1g.5gb", 3))
        hopper = allocation("hopper", mig(h100, "1g.10gb", 0, model="H100-80GB"))
        return [
            ("create", lambda a: a.prepare(create)),
            ("replace", lambda a: a.prepare(replace)),
            ("reuse", lambda a: a.prepare(reuse)),
            ("pair", lambda a: a.prepare(pair)),
            ("part", lambda a: a.prepare(allocation("part", part(v100, 8080)))),
            ("beside", lambda a: a.prepare(allocation("beside", part(v100, 4040)))),
            ("turns", lambda a: a.divide_time(a.report())),
            ("end beside", lambda a: a.unprepare("beside")),
            ("end reuse", lambda a: a.unprepare("reuse")),
            ("media", lambda a: a.prepare(media)),
            ("end create", lambda a: a.unprepare("create")),
            ("end pair", lambda a: a.unprepare("pair")),
            ("end part", lambda a: a.unprepare("part")),
            ("whole", lambda a: a.prepare(allocation("whole", whole(v100)))),
            ("torn", lambda a: _refused(a, torn)),
            ("mode on", lambda a: _switch(a, h100, True)),
            ("hopper", lambda a: a.prepare(hopper)),
            ("end hopper", lambda a: a.unprepare("hopper")),
            ("mode off", lambda a: _switch(a, h100, False)),
            ("recover", lambda a: a.gpus.recover()),
            ("report", lambda a: a.report()),
            ("upkeep", lambda a: Upkeep(a).step()),
            ("errors", _listen),
        ]

    @staticmethod
    def injector(directory: Path, at: Point | None = None, action: str | Fault = "kill") -> Injector:
        """Meets what is done to the GPUs and in the agent's own directory."""
        return Injector(directory / "agent", at, action)

    def copy(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.scene, to)
        return to

    def start(self, directory: Path, faults: Faults | None = None, **named: Any) -> Agent:
        """`named`: what the agent is to have besides."""
        library = SimulatedNvml(directory / "machine.json", faults=faults or Faults())
        nvml = Nvml(library)
        shim = Libraries(self.scene / "libcuda.so", self.scene / "libnvidia-ml.so")
        return Agent(
            nvml,
            directory / "agent",
            NODE,
            boot_id=library.boot_id,
            claim_of=_claim_of,
            host_shares=HostShares(directory / "agent" / "shares", lambda: shim, lambda: shim, ComputePolicy.WEIGHTS),
            driver_limits=DriverLimits(nvml, _claim_of, host_processes=True, cgroups=directory / "cgroups"),
            **named,
        )

    def live(self, directory: Path, injector: Injector, tell: Callable[[str], None]) -> None:
        """Go through the day; `tell` hears of each step begun and answered. Refusals are part of life."""
        with injector.watching():
            injector.step = "start"
            agent = self.start(directory, injector.faults())
            for name, step in self.steps():
                injector.step = name
                tell(f"begun {name}")
                try:
                    step(agent)
                except AgentError:
                    continue
                tell(f"answered {name}")
            agent.close()


def _claim_of(pid: int) -> str:
    """The scene has one process."""
    return "busy"


def _listen(agent: Agent) -> None:
    """Hear of one error and of no other."""
    watch = ErrorWatch(agent.nvml, agent.gpus.uuids(), agent.gpus.note_xid)
    for _ in range(2):
        with contextlib.suppress(NvmlError):
            watch.wait(0)
    watch.end()


def _switch(agent: Agent, gpu: str, on: bool) -> None:
    (change,) = agent.gpus.set_dynamic_mig(on, [gpu])
    if change.outcome is not Outcome.DONE:
        raise Busy(change.reason)


def _refused(agent: Agent, torn: Allocation) -> None:
    """Its place on one GPU is taken: what was held of the other is let go of."""
    with contextlib.suppress(AgentError):
        agent.prepare(torn)


def check(day: Day, directory: Path, told: list[str]) -> None:
    """Hardware, records and report agree after a new start; nothing was lost, leaked or given twice."""
    agent = day.start(directory)
    report = agent.report()
    gpus = StateFile(directory / "machine.json").read()["gpus"]
    held: dict[str, int] = {}
    for seen, gpu in zip(report.gpus, gpus, strict=True):
        assert not seen.fenced
        assert legal(models()[gpu["model"]], [Placement(i["profile"], i["start"]) for i in gpu["instances"]])
        assert all(len(i["compute"]) == 1 for i in gpu["instances"]), "a half-made instance was left behind"
        there = {i["compute"][0]["uuid"] for i in gpu["instances"]}
        assert {i.uuid for i in seen.instances} == there
        foreign = {i.uuid for i in seen.instances if i.state is InstanceState.FOREIGN}
        assert foreign == ({day.foreign} if gpu["uuid"] == day.gpus[0] else set())
        record = _fold(directory / "agent" / "gpus" / f"{gpu['uuid']}.log")
        assert record.intent is None
        assert {o.uuid for o in record.owned.values()} == there - foreign
        for hold in record.holds.values():
            held[hold.claim] = held.get(hold.claim, 0) + 1
            assert hold.uuid in there | {gpu["uuid"]}
        uuids = [h.uuid for h in record.holds.values() if h.placement is not None]
        assert len(set(uuids)) == len(uuids), "one instance was given twice"
    assert next(i for i in report.gpus[0].instances if i.uuid == day.busy).claim == "busy"
    assert held.get("pair", 2) == 2
    assert "torn" not in held
    assert set(held) == set(report.held)
    _check_answers(told, set(held))
    shares = set(held) & {"part", "beside"}
    assert {path.stem for path in (directory / "agent" / "limits").iterdir()} == shares
    answered = {claim for claim in shares if f"answered {claim}" in told}
    assert answered <= {path.parent.name for path in (directory / "agent" / "shares").glob("*/lib")} <= shares
    _check_driver_limits(directory / "cgroups" / "migctl", gpus[2]["memory_limits"], shares)
    for _, step in day.steps():
        with contextlib.suppress(AgentError):
            step(agent)
    last = agent.report()
    assert set(last.held) == {"busy", "replace", "media", "whole"}
    assert (last.gpus[3].mig, last.gpus[3].instances) == (False, ())
    agent.close()


def _check_driver_limits(cgroups: Path, limits: dict[str, int], shares: set[str]) -> None:
    """A limit that is set is a share's; one goes with its cgroup."""
    made = set(os.listdir(cgroups)) if cgroups.exists() else set()
    assert made <= shares
    wanted = {"part": 8080 << 20, "beside": 4040 << 20}
    assert all(limits[str(cgroups / claim)] == wanted[claim] for claim in made if str(cgroups / claim) in limits)


def _check_answers(told: list[str], held: set[str]) -> None:
    """Whoever got an answer can rely on it."""
    for claim in ("create", "replace", "reuse", "pair", "part", "beside", "media", "whole", "hopper"):
        if f"answered {claim}" in told and f"begun end {claim}" not in told:
            assert claim in held
        if f"answered end {claim}" in told:
            assert claim not in held


def _fold(journal: Path) -> GpuRecord:
    record = GpuRecord()
    for line in journal.read_text(encoding="utf-8").splitlines():
        record.apply(json.loads(line))
    return record
