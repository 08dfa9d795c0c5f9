"""What the agent shows of itself: a line of log and a count for each event, its probes, and periodic work that ends."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from structlog.testing import capture_logs

from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.supervised import SupervisedLoop
from nodeagent.upkeep import logs, probes
from nodeagent.upkeep.metrics import CONTENT_TYPE, Metrics
from tests.limits import WAIT_S

GPU = "GPU-1"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            AgentEvent(EventKind.CREATED, GPU, "c1", "1g.5gb@0", 0.21049),
            {"log_level": "info", "event": "created", "gpu": GPU, "claim": "c1", "detail": "1g.5gb@0", "ms": 210.5},
        ),
        (
            AgentEvent(EventKind.REFUSED, claim="c1", detail="Fenced", text="GPU-1 is fenced"),
            {"log_level": "warning", "event": "refused", "claim": "c1", "detail": "Fenced", "text": "GPU-1 is fenced"},
        ),
        (AgentEvent(EventKind.UNFENCED, GPU), {"log_level": "info", "event": "unfenced", "gpu": GPU}),
    ],
)
def test_an_event_is_one_line_of_what_it_says(event: AgentEvent, line: dict[str, object]) -> None:
    with capture_logs() as lines:
        logs.observer(event)
    assert lines == [line]


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (
            AgentEvent(EventKind.CREATED, GPU, seconds=0.2),
            'migctl_mig_operations_total{gpu="GPU-1",operation="created"}',
        ),
        (AgentEvent(EventKind.UNPREPARED, claim="c1"), 'migctl_claim_seconds_count{operation="unprepared"}'),
        (AgentEvent(EventKind.RECLAIMED, claim="c1"), "migctl_claims_reclaimed_total"),
        (AgentEvent(EventKind.REFUSED, detail="Busy"), 'migctl_claim_refusals_total{reason="busy"}'),
        (AgentEvent(EventKind.RECOVERED, GPU), 'migctl_gpu_settlings_total{gpu="GPU-1"}'),
        (AgentEvent(EventKind.FAULTY, GPU, detail="xid-79"), 'migctl_gpu_errors_total{gpu="GPU-1",kind="xid-79"}'),
        (AgentEvent(EventKind.OVERSTEPPED, GPU), 'migctl_share_offences_total{action="overstepped",gpu="GPU-1"}'),
        (AgentEvent(EventKind.STOPPED, GPU), 'migctl_share_offences_total{action="stopped",gpu="GPU-1"}'),
    ],
    ids=lambda value: value.kind if isinstance(value, AgentEvent) else "",
)
def test_an_event_is_counted(event: AgentEvent, counted: str) -> None:
    metrics = Metrics()
    metrics.observer(event)
    metrics.observer(event)
    assert f"{counted} 2.0" in metrics.text().decode().splitlines()


@pytest.mark.parametrize("kind", [EventKind.FENCED, EventKind.UNFENCED, EventKind.QUARANTINED])
def test_what_a_gauge_shows_is_not_counted_too(kind: EventKind) -> None:
    metrics = Metrics()
    before = [line for line in metrics.text().splitlines() if b"_created" not in line]
    metrics.observer(AgentEvent(kind, GPU))
    assert [line for line in metrics.text().splitlines() if b"_created" not in line] == before


def get(port: int, path: str) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", path)
    response = connection.getresponse()
    answer = response.status, response.read(), response.getheader("Content-Type")
    connection.close()
    return answer


def serving(healthy: Callable[[], bool] = lambda: True, port: int = 0) -> AbstractContextManager[int]:
    """An agent that is not ready, at a port of this machine."""
    return probes.serving("127.0.0.1", port, healthy, lambda: False, lambda: b"figures 1\n")


def test_a_probe_says_how_it_is_now() -> None:
    health = [True]
    with serving(lambda: health[0]) as port:
        assert get(port, "/healthz") == (200, b"ok\n", "text/plain")
        health[0] = False
        assert get(port, "/healthz?verbose") == (503, b"no\n", "text/plain")
        assert get(port, "/readyz") == (503, b"no\n", "text/plain")


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    with serving() as port:
        assert get(port, "/metrics") == (200, b"figures 1\n", CONTENT_TYPE)


def test_another_path_says_which_there_are() -> None:
    with serving() as port:
        assert get(port, "/") == (404, b"there are /healthz, /readyz and /metrics\n", "text/plain")


def test_a_port_that_is_taken_is_an_error_and_free_again_afterwards() -> None:
    with serving() as port:
        with pytest.raises(OSError, match="in use"), serving(port=port):
            pass
        assert get(port, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), WAIT_S)


def test_periodic_work_is_repeated_until_it_is_stopped_and_a_step_is_never_cut_off() -> None:
    steps: list[str] = []
    twice = threading.Event()

    def step() -> None:
        steps.append("began")
        if len(steps) > 2:
            twice.set()
        steps.append("ended")

    task = SupervisedLoop("work", step, 0.0)
    task.start()
    assert twice.wait(WAIT_S)
    task.stop()
    assert steps == ["began", "ended"] * (len(steps) // 2)
    task.stop()


def test_periodic_work_that_was_never_started_is_stopped_at_once() -> None:
    steps: list[None] = []
    SupervisedLoop("work", lambda: steps.append(None), 0.0).stop()
    assert steps == []
