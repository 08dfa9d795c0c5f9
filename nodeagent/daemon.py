"""The agent of a Kubernetes node, put together: hardware, kubelet, API server, probes."""

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
from nodeagent.kubernetes.client import KubernetesClient
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.mode_keeper import EVERY_S as MODES_S
from nodeagent.kubernetes.mode_keeper import ModeKeeper
from nodeagent.kubernetes.publisher import Publisher
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.simulated_nvml import spec
from nodeagent.start import open_agent
from nodeagent.upkeep import logs, probes
from nodeagent.upkeep.metrics import Metrics
from nodeagent.upkeep.periodic import PeriodicTask
from nodeagent.upkeep.upkeep import Upkeep
from nodeagent.upkeep.watchdog import WatchdogPolicy

_LOOK_S = 2.0

_log = structlog.get_logger("nodeagent")


class SocketsGone(Exception):
    """The kubelet cannot reach us any more: a new start makes the sockets anew."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How this node's agent works.

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
    def machine(self) -> Path:
        """The simulated machine's state."""
        return self.state_dir / "simulated.json"


def run(settings: AgentSettings, told_to_stop: threading.Event) -> None:
    """Serve until told to stop.

    Raises SocketsGone, and what keeps it from starting: AgentError, NvmlError, BadSpec, DamagedState,
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
        ledger = ClaimIndex(settings.state_dir / "claims")
        driver = Driver(agent, functools.partial(read_claim, api), specs, _source(settings, agent), ledger)
        _recover(driver)
        plugin = Plugin(driver, health, settings.kubelet_root, publisher.soon)
        stack.enter_context(_running(Upkeep(agent, policy=settings.watchdog, seen=publisher.offer)))
        publisher.start(agent.report)
        stack.callback(publisher.stop, "the node agent was stopped")
        port = stack.enter_context(
            probes.serving(settings.host, settings.port, publisher.works, plugin.serving, metrics.text)
        )
        plugin.start()
        stack.callback(plugin.stop)
        reclaim = Reclaim(
            settings.node, ledger, agent.held, functools.partial(read_claim, api), plugin.unprepare, agent.tell
        )
        stack.enter_context(_running(PeriodicTask("reclaim", reclaim.look, RECLAIM_S)))
        modes = ModeKeeper(gpu_node, agent, publisher.soon)
        stack.enter_context(_running(PeriodicTask("mig-mode", modes.look, MODES_S)))
        _log.info("serving", node=settings.node, gpus=len(agent.gpu_uuids()), endpoint=str(plugin.endpoint), port=port)
        while not told_to_stop.wait(_LOOK_S):
            if not plugin.serving():
                raise SocketsGone(f"somebody removed {plugin.endpoint} or {plugin.registry}")


def _locks(settings: AgentSettings) -> Iterator[AgentLock]:
    """Sockets and specs are this agent's alone; its state is locked by the Agent itself."""
    sockets = settings.kubelet_root / "plugins" / DRIVER
    yield AgentLock(sockets, "agent.lock", "give this one another --kubelet-root")
    yield AgentLock(settings.cdi_dir, f".{DRIVER}.lock", "give this one another --cdi-dir")


@contextmanager
def _opened(settings: AgentSettings, metrics: Metrics, publisher: Publisher) -> Iterator[Agent]:
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.simulate is not None:
        spec.ensure(settings.machine, settings.simulate, seed=settings.node)
    agent = open_agent(
        settings.node,
        settings.state_dir / "agent",
        simulated=settings.machine if settings.simulate is not None else None,
        observers=(logs.observer, metrics.observer, publisher.observer),
        host_root=settings.host_root,
    )
    metrics.attach(agent)
    try:
        yield agent
    finally:
        agent.close()


@contextmanager
def _running(helper: Upkeep | PeriodicTask) -> Iterator[None]:
    helper.start()
    try:
        yield
    finally:
        helper.stop()


def _source(settings: AgentSettings, agent: Agent) -> EditSource:
    """The variables first: on a real GPU the driver's own tool has the last word."""
    if settings.simulate is not None:
        return Sources((Variables(), SimulatedGpus(settings.machine, settings.state_dir / "containers")))
    toolkit = Toolkit(settings.host_root)
    shares = SoftwareShares(agent.books, agent.nvml.boards)
    return Sources((Variables(), RealGpus(agent.nvml, toolkit.common), shares))


def _recover(driver: Driver) -> None:
    try:
        driver.recover()
    except (AgentError, OSError) as e:
        _log.error("the CDI specs of running claims could not be checked", error=str(e))
