"""Metrics of claims: how many are in each phase, and whose each one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migctl.objects import Claim, Phase


class ClaimMetrics(Collector):
    """Reads the claims at each scrape. What agents measure has a claim's uid, which no person knows: join it here."""

    def __init__(self, claims: Callable[[], Iterable[Claim]]) -> None:
        self._claims = claims

    def collect(self) -> Iterator[Metric]:
        """Claims by phase, and a 1 for each with its project, workload, pod and node."""
        counts = dict.fromkeys(Phase, 0)
        whose = GaugeMetricFamily(
            "migctl_claim_info",
            "1 for each claim: whose it is and where, to join with what agents measure by claim.",
            labels=["claim", "project", "workload", "pod", "node", "phase"],
        )
        for claim in self._claims():
            counts[claim.status.phase] += 1
            node = claim.status.allocation.node if claim.status.allocation else ""
            meta = claim.meta
            whose.add_metric(
                [meta.uid, meta.project, claim.spec.workload, meta.name, node, claim.status.phase.value], 1
            )
        by_phase = GaugeMetricFamily("migctl_claims", "Claims by phase.", labels=["phase"])
        for phase, count in counts.items():
            by_phase.add_metric([phase.value], count)
        yield by_phase
        yield whose

    def text(self) -> bytes:
        """These metrics alone, in Prometheus's text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
