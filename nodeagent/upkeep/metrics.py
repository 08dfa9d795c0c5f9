"""The agent's figures for Prometheus: events as counters, the present state as gauges that are read at every scrape.

Names and units by Prometheus's conventions: base units, `_total` on counters, `_ratio` from 0 to 1.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeagent.agent import Agent
from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.holders import claim_of, request_of
from nodeagent.contract.units import MIB
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.nvml import Readings
from solver.model.cluster import Gpu, InstanceState

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of `Metrics.text`, for HTTP."""

_DRIVER_BUCKETS = (0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 2, 5, 10, 30)
_OF_A_CLAIM = ["claim", "request", "gpu"]
"""Labels; request: which container's, "" where the claim has one request only."""
_CLAIM_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Metrics:
    """An agent's metrics in a registry of their own. `observer` counts events, `attach` adds the gauges."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._reconfigurations = Counter(
            "migctl_mig_operations", "MIG instances created, destroyed and reused.", ["gpu", "operation"], registry=own
        )
        self._driver_seconds = Histogram(
            "migctl_mig_operation_seconds",
            "Time in the driver per created or destroyed MIG instance.",
            ["operation"],
            buckets=_DRIVER_BUCKETS,
            registry=own,
        )
        self._claim_seconds = Histogram(
            "migctl_claim_seconds",
            "Time to prepare or unprepare a claim.",
            ["operation"],
            buckets=_CLAIM_BUCKETS,
            registry=own,
        )
        self._reclaimed = Counter(
            "migctl_claims_reclaimed", "Claims that no longer existed, unprepared unasked.", registry=own
        )
        self._refusals = Counter("migctl_claim_refusals", "Claims that were not prepared.", ["reason"], registry=own)
        self._recoveries = Counter(
            "migctl_gpu_settlings", "Interrupted changes finished or undone.", ["gpu"], registry=own
        )
        self._faults = Counter("migctl_gpu_errors", "Errors that a GPU reported.", ["gpu", "kind"], registry=own)
        self._offences = Counter(
            "migctl_share_offences", "Checks that found a share overstepped.", ["gpu", "action"], registry=own
        )

    def observer(self, event: AgentEvent) -> None:
        """Count one event."""
        match event.kind:
            case EventKind.CREATED | EventKind.DESTROYED:
                self._reconfigurations.labels(event.gpu, event.kind).inc()
                self._driver_seconds.labels(event.kind).observe(event.seconds)
            case EventKind.REUSED:
                self._reconfigurations.labels(event.gpu, event.kind).inc()
            case EventKind.PREPARED | EventKind.UNPREPARED:
                self._claim_seconds.labels(event.kind).observe(event.seconds)
            case EventKind.RECLAIMED:
                self._reclaimed.inc()
            case EventKind.REFUSED:
                self._refusals.labels(event.detail.lower()).inc()
            case EventKind.RECOVERED:
                self._recoveries.labels(event.gpu).inc()
            case EventKind.FAULTY:
                self._faults.labels(event.gpu, event.detail).inc()
            case EventKind.OVERSTEPPED | EventKind.STOPPED:
                self._offences.labels(event.gpu, event.kind).inc()

    def attach(self, agent: Agent) -> None:
        """Read the agent's GPUs at every scrape."""
        self.registry.register(_AgentGauges(agent))

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class _AgentGauges(Collector):
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        report, readings = self._agent.report(), self._agent.gpus.readings()
        yield from _sensors(report, readings)
        yield from _layout(report)
        yield from _shares(report)
        yield _gauge(
            "migctl_claim_memory_drift_bytes",
            "A claim's memory that the driver sees beyond the fraction libraries' corrected accounts.",
            _OF_A_CLAIM,
            ((_labels(*key), float(drift)) for key, drift in self._agent.accounts.drift.items()),
        )
        failures = CounterMetricFamily(
            "migctl_agent_loop_failures", "Failed steps of the agent's background threads.", labels=["loop"]
        )
        for loop, count in self._agent.loops.failures().items():
            failures.add_metric([loop], count)
        yield failures
        yield _gauge(
            "migctl_mig_instance_idle_seconds",
            "How long a MIG instance has been idle.",
            ["gpu", "profile", "start"],
            (([gpu, p.profile, str(p.start)], seconds) for gpu, p, seconds in self._agent.gpus.idle()),
        )


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _sensors(report: NodeReport, readings: dict[str, Readings]) -> Iterator[Metric]:
    read = [(g, readings[g.uuid]) for g in report.gpus if g.uuid in readings]
    labels = ["gpu", "index", "model"]

    def of(gpu: Gpu) -> list[str]:
        return [gpu.uuid, str(gpu.index), gpu.model]

    yield _gauge(
        "migctl_gpu_memory_total_bytes", "Memory of a GPU.", labels, ((of(g), g.memory_mib * MIB) for g in report.gpus)
    )
    yield _gauge("migctl_gpu_memory_used_bytes", "Memory in use.", labels, ((of(g), r.used_mib * MIB) for g, r in read))
    yield _gauge(
        "migctl_gpu_utilization_ratio",
        "Part of the time a kernel ran; unknown with MIG on.",
        labels,
        ((of(g), r.utilization) for g, r in read if r.utilization is not None),
    )
    yield _gauge(
        "migctl_gpu_temperature_celsius",
        "Temperature of a GPU.",
        labels,
        ((of(g), r.celsius) for g, r in read if r.celsius is not None),
    )
    yield _gauge(
        "migctl_gpu_power_watts",
        "Power drawn.",
        labels,
        ((of(g), r.power_w) for g, r in read if r.power_w is not None),
    )
    yield _gauge(
        "migctl_gpu_fenced", "1 where nothing new is placed.", labels, ((of(g), bool(g.fenced)) for g in report.gpus)
    )


def _layout(report: NodeReport) -> Iterator[Metric]:
    instances: Tally[tuple[str, str, str]] = Tally()
    units: Tally[tuple[str, str]] = Tally()
    for gpu in (g for g in report.gpus if g.mig):
        units[gpu.uuid, "free"] = report.models[gpu.model].units - sum(i.size for i in gpu.instances)
        for state in InstanceState:
            units[gpu.uuid, state] = sum(i.size for i in gpu.instances if i.state is state)
        for instance in gpu.instances:
            instances[gpu.uuid, instance.profile, instance.state] += 1
    counts = ((list(key), float(count)) for key, count in instances.items())
    yield _gauge("migctl_mig_instances", "MIG instances.", ["gpu", "profile", "state"], counts)
    occupied = ((list(key), float(count)) for key, count in units.items())
    yield _gauge("migctl_mig_units", "Placement units of a GPU with MIG on.", ["gpu", "state"], occupied)


def _shares(report: NodeReport) -> Iterator[Metric]:
    used: Tally[tuple[str, str]] = Tally()
    for process in report.processes:
        used[process.claim or "", process.gpu] += process.memory_mib * MIB
    yield _gauge(
        "migctl_claim_memory_used_bytes",
        'GPU memory of a claim\'s processes; claim "": of no claim.',
        _OF_A_CLAIM,
        ((_labels(*k), n) for k, n in used.items()),
    )
    limits = ((_labels(p.claim, g.uuid), float(p.memory_mib * MIB)) for g in report.gpus for p in g.parts)
    yield _gauge("migctl_claim_memory_limit_bytes", "Memory limit of a software share.", _OF_A_CLAIM, limits)


def _labels(holder: str, gpu: str) -> list[str]:
    return [claim_of(holder), request_of(holder), gpu]
