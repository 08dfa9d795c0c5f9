"""Every end, failure and back-off is an event, counted, of the workload that it is about."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from migctl.objects import Event
from nodeagent.simulated_nvml.state import StateFile
from tests.e2e.embedded import HOLD, Embedded


@pytest.fixture
def one() -> Iterator[Embedded]:
    embedded = Embedded(Path(tempfile.mkdtemp(prefix="migctl-")))
    try:
        embedded.up("v100=1")
        yield embedded
    finally:
        embedded.end()


def reasons(one: Embedded, name: str) -> dict[str, Event]:
    return {event.spec.reason: event for event in one.look(Event) if event.spec.about == f"Workload/{name}"}


def told(one: Embedded, name: str, last: str) -> dict[str, Event]:
    """Events of a workload by reason, as soon as this one is there."""
    one.until(f"{last} of {name} is told", lambda: last in reasons(one, name))
    return reasons(one, name)


def test_ends_failures_and_back_off_are_events(one: Embedded) -> None:
    one.ok("submit", "good", "-g", "0.2", "--", "true")
    one.ok("submit", "bad", "-g", "0.2", "--backoff-limit", "1", "--", "sh", "-c", "exit 255")
    assert told(one, "good", "Completed")["Completed"].spec.count == 1
    of_bad = told(one, "bad", "BackoffLimitExceeded")
    assert {"Placed", "Started", "PodFailed", "BackOff"} <= set(of_bad)
    assert of_bad["PodFailed"].spec.message == "pod bad-0: exit code 255"
    assert of_bad["PodFailed"].spec.warning
    shown = one.ok("describe", "bad")
    assert "pod bad-0: exit code 255 (2 times)" in shown
    assert "BackoffLimitExceeded" in shown


def test_describe_shows_no_events_of_an_earlier_one_of_the_name(one: Embedded) -> None:
    one.ok("submit", "again", "-g", "0.2", "--", "true")
    told(one, "again", "Completed")
    one.ok("delete", "again")
    one.until("it is gone", lambda: not one.json("list")["items"])
    one.ok("submit", "again", "-g", "0.2", *HOLD)
    one.ok("wait", "again", "--timeout", "2m")
    assert "Completed" not in one.ok("describe", "again")
    assert "Completed" in one.ok("events", "--for", "again")


def test_a_gpu_error_is_an_event_of_the_node_and_of_who_holds_it(one: Embedded) -> None:
    one.ok("submit", "held", "-g", "0.2", *HOLD)
    one.ok("wait", "held", "--timeout", "2m")
    with StateFile(one.home / "simulated.json").change() as state:
        state["gpus"][0]["events"].append({"type": 8, "data": 79})
    assert "79" in told(one, "held", "GpuFenced")["GpuFenced"].spec.message
    node = one.json("node", "list")["items"][0]["meta"]["name"]
    assert "GpuFenced" in one.ok("events", "-A", "--for", f"node/{node}")
