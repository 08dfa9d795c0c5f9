"""A day in a DRA driver's life, to be interrupted at any driver call and any write: specs, ledger, views, journals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nodeagent.agent import Agent
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.simulated import SimulatedGpus
from nodeagent.cdi.sources import Sources, Variables
from nodeagent.contract.allocation import AgentError
from nodeagent.contract.wire import allocation_to_json, device_name
from nodeagent.dra.claim_index import ClaimIndex, ClaimRef
from nodeagent.dra.driver import Driver
from nodeagent.kubernetes.client import ApiNotFound
from nodeagent.nvml import Nvml
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.faults import Fault, Faults
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import StateFile
from solver.model.demand import DeviceShare, Grant
from tests.nodeagent.cdi import cdi_specs
from tests.nodeagent.faults.fault_points import Injector, Point
from tests.nodeagent.machines import NODE, mig, part

CLAIMS = ("a", "b", "wide", "share")
LAST = {"b", "wide"}
"""What is held when the day is over."""


def set_scene(scene: Path) -> None:
    spec.create(scene / "machine.json", "a100-40gb=2,v100=1")


class DriverDay:
    """What a kubelet asks for after the scene was set at `scene`."""

    def __init__(self, scene: Path) -> None:
        self.scene = scene
        gpus = [str(gpu["uuid"]) for gpu in StateFile(scene / "machine.json").read()["gpus"]]
        self.shares: dict[str, tuple[DeviceShare, ...]] = {
            "a": (mig(gpus[0], "2g.10gb", 0),),
            "b": (mig(gpus[0], "3g.20gb", 0),),  # in a's place, after a
            "wide": (mig(gpus[0], "1g.5gb", 4), mig(gpus[1], "1g.5gb", 0)),
            "share": (part(gpus[2], 8080),),
        }
        spare = (mig(gpus[0], "1g.5gb", 6), mig(gpus[1], "1g.5gb", 6), part(gpus[2], 100, 0.1))
        self.spare = {share.gpu: f"spare{number}" for number, share in enumerate(spare)}
        self.shares |= {self.spare[share.gpu]: (share,) for share in spare}

    def steps(self) -> list[tuple[str, Callable[[Driver], object]]]:
        order = ("a", "share", "wide", "end a", "b", "again b", "end share")
        return [(name, self._step(name)) for name in order]

    @staticmethod
    def _step(name: str) -> Callable[[Driver], object]:
        what, _, claim = name.rpartition(" ")
        ref = ClaimRef("team-a", claim, f"uid-{claim}")
        return (lambda d: d.unprepare(ref)) if what == "end" else (lambda d: d.prepare(ref))

    @staticmethod
    def injector(directory: Path, at: Point | None = None, action: str | Fault = "kill") -> Injector:
        """Meets everything but what the simulated driver does for itself."""
        return Injector(directory / "node", at, action)

    def copy(self, to: Path) -> Path:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.scene, to)
        return to

    def start(self, directory: Path, faults: Faults | None = None, **named: Any) -> tuple[Agent, Driver]:
        """`named`: what the agent is to have besides."""
        library = SimulatedNvml(directory / "machine.json", faults=faults or Faults())
        node = directory / "node"
        nvml = Nvml(library)
        agent = Agent(nvml, node / "agent", NODE, boot_id=library.boot_id, claim_of=lambda pid: None, **named)
        try:
            source = Sources((Variables(), SimulatedGpus(directory / "machine.json", node / "containers")))
            specs, ledger = SpecFiles(node / "cdi"), ClaimIndex(node / "claims")
            driver = Driver(agent, self._read, specs, source, ledger, pause=lambda seconds: None)
            driver.recover()
        except BaseException:
            agent.close()
            raise
        return agent, driver

    def _read(self, namespace: str, name: str) -> dict[str, Any]:
        if name not in self.shares:
            raise ApiNotFound("no such claim")
        grant = Grant(NODE, self.shares[name])
        numbers = {share.gpu: number for number, share in enumerate(grant.devices)}
        allocation = allocation_to_json(grant, lambda share: device_name(numbers[share.gpu], share), datetime.now(UTC))
        metadata = {"namespace": namespace, "name": name, "uid": f"uid-{name}"}
        return {"metadata": metadata, "status": {"allocation": allocation}}

    def live(self, directory: Path, injector: Injector, tell: Callable[[str], None]) -> None:
        """Go through the day; `tell` hears of each step begun and answered. Refusals are part of life."""
        (directory / "node").mkdir(exist_ok=True)
        with injector.watching():
            injector.step = "start"
            agent, driver = self.start(directory, injector.faults())
            for name, step in self.steps():
                injector.step = name
                tell(f"begun {name}")
                try:
                    step(driver)
                except AgentError:
                    continue
                tell(f"answered {name}")
            agent.close()

    def check(self, directory: Path, told: list[str]) -> None:
        """After a new start: what is held has its spec, and nothing else has; whoever got an answer can rely on it."""
        agent, driver = self.start(directory)
        held = set(agent.held())
        self._check_files(directory / "node", held)
        for claim in CLAIMS:
            if f"answered {claim}" in told and f"begun end {claim}" not in told:
                assert f"uid-{claim}" in held
            if f"answered end {claim}" in told:
                assert f"uid-{claim}" not in held
        for _, step in self.steps():
            with contextlib.suppress(AgentError):
                step(driver)
        assert set(agent.held()) == {f"uid-{claim}" for claim in LAST}
        self._check_files(directory / "node", set(agent.held()))
        for claim in LAST:
            driver.unprepare(ClaimRef("team-a", claim, f"uid-{claim}"))
        self._check_files(directory / "node", set())
        agent.close()

    @staticmethod
    def _check_files(node: Path, held: set[str]) -> None:
        cdi_specs.validate(node / "cdi")
        names = {json.loads(path.read_text())["devices"][0]["name"] for path in (node / "cdi").iterdir()}
        assert names == held
        assert {path.stem for path in (node / "claims").iterdir()} == held
        assert set(os.listdir(node / "containers") if (node / "containers").exists() else ()) <= held
