"""The composition root of the agent of a Kubernetes node: GPUs, kubelet, API server, probes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from nodeagent.agent import Agent
from nodeagent.cdi.driver import RealGpus
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.simulated import SimulatedGpus
from nodeagent.cdi.software import SoftwareShares
from nodeagent.cdi.sources import EditSource, Sources, Variables
from nodeagent.cdi.toolkit import Toolkit
from nodeagent.contract.allocation import AgentError
from nodeagent.contract.wire import DRIVER
from nodeagent.dra.claim_index import ClaimIndex
from nodeagent.dra.driver import Driver
from nodeagent.dra.health import HealthService
from nodeagent.dra.reclaim import EVERY_S as RECLAIM_S
from nodeagent.dra.reclaim import Reclaim
from nodeagent.dra.sockets import Plugin
from nodeagent.journal.locking import AgentLock
from nodeagent.kubernetes.access import ApiAccess
from nodeagent.kubernetes.claims import read_claim
from nodeagent.kubernetes.client import ApiError, KubernetesClient
from nodeagent.kubernetes.dynamic_mig import EVERY_S as MODES_S
from nodeagent.kubernetes.dynamic_mig import ModeReconciler
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.publisher import Publisher
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.simulated_nvml import spec
from nodeagent.start import open_agent
from nodeagent.supervised import SupervisedLoop
from nodeagent.upkeep import logs, probes
from nodeagent.upkeep.metrics import Metrics
from nodeagent.upkeep.upkeep import Upkeep
from nodeagent.upkeep.watchdog import WatchdogPolicy

_CHECK_S = 2.0

_log = structlog.get_logger("nodeagent")


class DriverChanged(Exception):
    """The driver is another one than this process opened: a new start opens that one, and writes the CDI specs anew."""


class SocketsRemoved(Exception):
    """The kubelet cannot reach the agent any more: a new start creates the sockets again."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The settings of a node's agent.

    state_dir     what must outlive the agent. Containers mount files of it: the same path on the host and here
    host_root     where the host's root is mounted, for its driver and nvidia-ctk; "/" where the agent runs on the host
    simulate      GPUs to simulate ("a100-40gb=2"), None: the machine's own
    """

    node: str
    access: ApiAccess
    state_dir: Path
    kubelet_root: Path
    cdi_dir: Path
    host_root: Path = Path("/")
    simulate: str | None = None
    watchdog: WatchdogPolicy = WatchdogPolicy.REPORT
    host: str = "0.0.0.0"
    port: int = 8081

    @property
    def simulated_state(self) -> Path:
        """The state file of the simulated machine."""
        return self.state_dir / "simulated.json"


def run(settings: AgentSettings, stop: threading.Event) -> None:
    """Serve until `stop` is set.

    Raises SocketsRemoved, DriverChanged, and where it cannot start: AgentError, NvmlError, BadSpec, DamagedState,
    CannotServe, OSError.
    """
    with ExitStack() as stack:
        specs = SpecFiles(settings.cdi_dir)
        for lock in _locks(settings):
            stack.callback(lock.close)
        metrics, health = Metrics(), HealthService()
        api = KubernetesClient(settings.access)
        stack.callback(api.close)
        gpu_node = GpuNodeWriter(api, settings.node)
        publisher = Publisher(gpu_node, SliceStore(api, settings.node), health.put)
        agent = stack.enter_context(_opened(settings, metrics, publisher))
        index = ClaimIndex(settings.state_dir / "claims")
        driver = Driver(
            agent, functools.partial(read_claim, api), specs, _source(settings, agent), index, agent.owners.runs_in
        )
        _recover(driver)
        plugin = Plugin(driver, health, settings.kubelet_root, publisher.soon)
        stack.enter_context(_running(Upkeep(agent, policy=settings.watchdog, seen=publisher.offer)))
        agent.loops.add(publisher.loop)
        publisher.start(agent.report)
        stack.callback(publisher.stop, "the node agent was stopped")
        port = stack.enter_context(
            probes.serving(settings.host, settings.port, agent.loops.are_healthy, plugin.serving, metrics.text)
        )
        plugin.start()
        stack.callback(plugin.stop)
        reclaim = Reclaim(
            settings.node,
            index,
            agent.held,
            functools.partial(read_claim, api),
            plugin.unprepare,
            agent.notify,
            agent.owners.claims_with_processes,
        )
        stack.enter_context(_running(agent.loops.add(SupervisedLoop("reclaim", reclaim.step, RECLAIM_S))))
        modes = ModeReconciler(gpu_node, agent.gpus, publisher.soon)
        stack.enter_context(
            _running(agent.loops.add(SupervisedLoop("mig-mode", modes.step, MODES_S, expected=(ApiError,))))
        )
        _log.info("serving", node=settings.node, gpus=len(agent.gpus.uuids()), endpoint=str(plugin.endpoint), port=port)
        while not stop.wait(_CHECK_S):
            if not plugin.serving():
                raise SocketsRemoved(f"another program removed {plugin.endpoint} or {plugin.registry}")
            if change := agent.driver_change():
                raise DriverChanged(f"{change}; a new start goes on with it, and workloads go on")


def _locks(settings: AgentSettings) -> Iterator[AgentLock]:
    """On sockets and specs; the Agent itself locks its state."""
    sockets = settings.kubelet_root / "plugins" / DRIVER
    yield AgentLock(sockets, "agent.lock", "give this one another --kubelet-root")
    yield AgentLock(settings.cdi_dir, f".{DRIVER}.lock", "give this one another --cdi-dir")


@contextmanager
def _opened(settings: AgentSettings, metrics: Metrics, publisher: Publisher) -> Iterator[Agent]:
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.simulate is not None:
        spec.ensure(settings.simulated_state, settings.simulate, seed=settings.node)
    agent = open_agent(
        settings.node,
        settings.state_dir / "agent",
        simulated=settings.simulated_state if settings.simulate is not None else None,
        observers=(logs.observer, metrics.observer, publisher.observer),
        host_root=settings.host_root,
    )
    metrics.attach(agent)
    try:
        yield agent
    finally:
        agent.close()


@contextmanager
def _running(task: Upkeep | SupervisedLoop) -> Iterator[None]:
    task.start()
    try:
        yield
    finally:
        task.stop()


def _source(settings: AgentSettings, agent: Agent) -> EditSource:
    """The variables first: on a real GPU the edits of the driver's own tool override them."""
    if settings.simulate is not None:
        return Sources((Variables(), SimulatedGpus(settings.simulated_state, settings.state_dir / "containers")))
    toolkit = Toolkit(settings.host_root)
    shares = SoftwareShares(agent.accounts, agent.nvml.gpus)
    return Sources((Variables(), RealGpus(agent.nvml, toolkit.common), shares))


def _recover(driver: Driver) -> None:
    try:
        driver.recover()
    except (AgentError, OSError) as e:
        _log.error("the CDI specs of running claims could not be checked", error=str(e))
