"""`migctl up`: controller, node agent and API in one process, until a signal stops it.

Every part can be killed at any moment and started again: objects are in the store, devices at the
agent, processes in the process table.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from migctl.access.audit.trail import AuditTrail
from migctl.access.identity.oidc import settings_in
from migctl.access.identity.sign_in import signing_in
from migctl.api import browser
from migctl.api.admitting import AdmittingControlPlane
from migctl.api.app import create_app, create_tcp_app
from migctl.api.server import serving, serving_tcp
from migctl.api.tcp.listener import bound
from migctl.api.tcp.options import ListenOptions
from migctl.api.v1.app import create_v1
from migctl.api.v1.authentication import authenticated
from migctl.api.v1.service import ApiService, ClusterIdentity, Identification
from migctl.backends.event_log import EventLog
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import AlreadyExists, ControlPlane
from migctl.backends.sqlite.store import SqliteControlPlane
from migctl.clock import system_clock
from migctl.controller.claim_metrics import ClaimMetrics
from migctl.controller.loop import Controller
from migctl.controller.observe import Observer
from migctl.controller.proposal_reconciler import ProposalReconciler
from migctl.controller.retention import MAX_PLANS, Retention
from migctl.embedded.dynamic_mig import DynamicMigSwitch, NodeModeSwitch
from migctl.embedded.happenings import Happenings
from migctl.embedded.home import Home
from migctl.embedded.kubelet import logs
from migctl.embedded.kubelet.processes import Processes
from migctl.embedded.kubelet.runner import Runner
from migctl.embedded.kubelet.workloads import WorkloadController
from migctl.embedded.node import NodePublisher, Reporter
from migctl.embedded.runtime import EmbeddedRuntime
from migctl.embedded.simulated_nodes import AnyNodesAgent, node_of, nodes_of
from migctl.objects import Claim, Event, Meta, PlacementPlan, Project, ProjectSpec
from migctl.solver_process.planning import KeptPlanner, plan
from migctl.verdicts.live import Verdicts
from nodeagent.agent import Agent
from nodeagent.shares.claim_cgroups import ClaimCgroups
from solver.model.snapshot import UNLIMITED

log = structlog.get_logger()

DEFAULT_PROJECT = "default"
RESTART_S = 1.0
FIRST_REPORTS_S = 10.0
DRIVER_CHECK_S = 5.0
MAX_EVENTS = 1000


async def serve(
    home: Home,
    agent: Agent,
    ready: Callable[[], None],
    metrics: Callable[[], bytes],
    listen: ListenOptions | None = None,
) -> str:
    """Run until SIGTERM or SIGINT, or until the driver changes; why it did, "" after a signal.

    ready    is called once the API answers and all parts have seen the store
    metrics  what /metrics answers besides the claims
    listen   where on TCP; None: on the socket alone
    """
    control_plane = SqliteControlPlane(home.store)
    try:
        return await _serve(home, control_plane, agent, ready, metrics, listen)
    finally:
        await control_plane.close()


async def _serve(
    home: Home,
    control_plane: SqliteControlPlane,
    agent: Agent,
    ready: Callable[[], None],
    metrics: Callable[[], bytes],
    listen: ListenOptions | None,
) -> str:
    listener = None if listen is None else bound(listen, home.tls, system_clock())
    await _make_default_project(control_plane)
    mirror = Mirror(control_plane)
    nodes = nodes_of(agent, node_of(home.simulated))
    reporters: Sequence[Reporter] = nodes or (agent,)
    publishers = [NodePublisher(control_plane, mirror, one, system_clock) for one in reporters]

    async def report() -> None:
        for publisher in publishers:
            await publisher.publish()

    switches: Sequence[NodeModeSwitch] = nodes or (agent.gpus,)
    runner = Runner(
        control_plane,
        mirror,
        AnyNodesAgent(agent) if nodes else agent,
        home.runs,
        system_clock,
        report,
        processes=Processes(agent.owners, ClaimCgroups.of_this_process(), agent.gpus.boot),
    )
    controller = Controller(control_plane, mirror, system_clock, plan)
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "mirror": mirror.run,
        **{f"node {number}": publisher.run for number, publisher in enumerate(publishers)},
        **{f"MIG mode of {gpus.node}": DynamicMigSwitch(control_plane, mirror, gpus, report).run for gpus in switches},
        "workloads": WorkloadController(control_plane, mirror, system_clock).run,
        "runner": runner.run,
        "controller": controller.run,
        "proposals": ProposalReconciler(controller, control_plane).run,
        "happenings": Happenings(mirror, EventLog(control_plane, system_clock), system_clock).run,
        "plans": Retention(control_plane, PlacementPlan, MAX_PLANS).run,
        "logs": lambda: logs.keep_bounded(home.runs, [home.log]),
        "events": Retention(control_plane, Event, MAX_EVENTS).run,
    }
    trail = AuditTrail(home.audit, system_clock)
    sign_in = signing_in(control_plane, home.signing_keys, system_clock, settings_in(home.oidc))
    parts["access"] = sign_in.accounts.run
    parts["expired tokens"] = sign_in.accounts.sweep
    claims = ClaimMetrics(lambda: mirror.all(Claim))
    runtime = EmbeddedRuntime(mirror, runner)
    admitting = AdmittingControlPlane(control_plane)
    verdicts = Verdicts(mirror, system_clock, KeptPlanner(), Observer(mirror))
    service = ApiService(
        control_plane=admitting,
        view=mirror,
        runtime=runtime,
        cluster=ClusterIdentity(home.cluster_id(), socket.gethostname()),
        authenticate=authenticated,
        clock=system_clock,
        identity=Identification(
            exchange=sign_in,
            ended=sign_in.accounts.ended,
            link=None if listener is None else browser.links_of(sign_in.sessions, listener),
            rotate=sign_in.keys.rotate,
        ),
        trail=trail,
        planner=verdicts,
    )
    v1 = create_v1(service)

    def all_metrics() -> bytes:
        return metrics() + claims.text()

    app = create_app(
        admitting,
        runtime,
        v1=v1,
        verdict=verdicts,
        ready=lambda: mirror.synced,
        metrics=all_metrics,
        trail=trail,
        department_of=service.department_of,
    )
    tasks = [asyncio.create_task(_supervise(name, part)) for name, part in parts.items()]
    try:
        async with contextlib.AsyncExitStack() as doors:
            await doors.enter_async_context(serving(app, home.socket))
            if listener is not None:
                tcp = create_tcp_app(
                    service,
                    sign_in,
                    listener,
                    app.state.closing,
                    v1=v1,
                    ready=lambda: mirror.synced,
                    metrics=all_metrics,
                    verdict=verdicts,
                )
                await doors.enter_async_context(serving_tcp(tcp, listener, app.state.closing))
                home.listening.write_text(listener.told)
                doors.callback(home.listening.unlink, missing_ok=True)
            await _until_synced(mirror)
            await _until_reported(publishers)
            ready()
            return await _stop_requested(agent.driver_change)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_synced(mirror: Mirror) -> None:
    seen = -1
    while not mirror.synced:
        seen = await mirror.wait(seen)


async def _until_reported(publishers: Iterable[NodePublisher]) -> None:
    """Wait for every node's first report, at most FIRST_REPORTS_S, so that the first submission sees all nodes."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIRST_REPORTS_S):
            await asyncio.gather(*(publisher.first.wait() for publisher in publishers))


async def _stop_requested(driver_change: Callable[[], str]) -> str:
    """Wait for a signal, or for another driver; why it is another one."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), DRIVER_CHECK_S)
        if not stop.is_set() and (change := await asyncio.to_thread(driver_change)):
            return change
    return ""


async def _supervise(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Restart a part that fails; the other parts continue meanwhile."""
    while True:
        try:
            await part()
        except Exception:
            log.exception("a part failed and is restarted", part=name)
            await asyncio.sleep(RESTART_S)


async def _make_default_project(control_plane: ControlPlane) -> None:
    """Create the first project, with unlimited quota."""
    try:
        await control_plane.create(Project(meta=Meta(name=DEFAULT_PROJECT), spec=ProjectSpec(quota=UNLIMITED)))
    except AlreadyExists:
        return
