"""The controller's HTTP endpoints for probes and Prometheus: /healthz, /readyz, /metrics.

Healthy: the process answers. Ready: its cache is synced; a standby is ready too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migctl.controller.claim_metrics import ClaimMetrics
from migctl.controller.kubernetes.process import KubernetesController
from migctl.objects import Claim


class ControllerMetrics(Collector):
    """Metrics read from the controller at each scrape."""

    def __init__(self, controller: KubernetesController) -> None:
        self._controller = controller

    def collect(self) -> Iterator[Metric]:
        """Leading, synced, and cache age in seconds by kind."""
        cluster = self._controller.cluster
        yield GaugeMetricFamily(
            "migctl_controller_leading", "1 while this controller decides.", float(self._controller.elector.leading)
        )
        yield GaugeMetricFamily("migctl_controller_synced", "1 while it sees the cluster.", float(cluster.synced))
        age = GaugeMetricFamily(
            "migctl_controller_cache_age_seconds", "Since the API server last said anything.", labels=["kind"]
        )
        for reflector in cluster.reflectors:
            age.add_metric([reflector.resource.plural], max(0.0, time.monotonic() - reflector.last_answer))
        yield age


@contextlib.asynccontextmanager
async def serving(controller: KubernetesController, host: str, port: int) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port. Raises OSError where it is taken."""
    registry = CollectorRegistry()
    registry.register(ControllerMetrics(controller))
    registry.register(ClaimMetrics(lambda: controller.cluster.all(Claim)))

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_: web.Request) -> web.Response:
        unsynced = [r.resource.plural for r in controller.cluster.reflectors if not r.synced]
        if unsynced:
            return web.Response(status=503, text=f"not seen yet: {', '.join(unsynced)}\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthy)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
