"""What `migctl up` does on its own: metrics for Prometheus, the watchdog over shared GPUs, another driver."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from migctl.backends.protocol import Unavailable
from migctl.embedded.home import Home
from migctl.objects import Phase
from nodeagent.simulated_nvml import processes
from nodeagent.simulated_nvml.state import StateFile
from tests.e2e.embedded import HOLD, Embedded


def samples(one: Embedded) -> list[Sample]:
    """All that /metrics has."""
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(Home(one.home).socket)), base_url="http://migctl"
    ) as client:
        text = client.get("/metrics").raise_for_status().text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def scrape(one: Embedded) -> dict[str, dict[str, float]]:
    """Values by metric and the claim they are about."""
    found: dict[str, dict[str, float]] = {}
    for sample in samples(one):
        found.setdefault(sample.name, {})[sample.labels.get("claim", "")] = sample.value
    return found


def test_metrics_show_a_running_share(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    v100.ok("submit", "half", "-g", "0.5", "-p", "default")
    claim = v100.running("half")["half"].meta.uid
    used = v100.until("its memory is in use", lambda: scrape(v100).get("migctl_claim_memory_used_bytes", {}).get(claim))
    assert used == 8080 << 20
    assert scrape(v100)["migctl_claim_memory_limit_bytes"] == {claim: 8080 << 20}


def test_metrics_say_whose_a_claim_is(embedded: Callable[[str], Embedded]) -> None:
    """Those of the agent know claims by uid only, which no person knows."""
    v100 = embedded("v100=1")
    v100.ok("submit", "half", "-g", "0.5", "-p", "default", *HOLD)
    claim = v100.running("half")["half"]
    (said,) = [sample.labels for sample in samples(v100) if sample.name == "migctl_claim_info"]
    assert (said["claim"], said["project"], said["workload"]) == (claim.meta.uid, "default", "half")
    assert (said["pod"], said["phase"]) == (claim.meta.name, "Running")
    assert claim.status.allocation is not None
    assert said["node"] == claim.status.allocation.node


def test_a_share_overstepped_is_told_of_in_the_nodes_report(embedded: Callable[[str], Embedded]) -> None:
    v100 = embedded("v100=1")
    v100.ok("submit", "greedy", "-g", "0.5", "-p", "default", *HOLD)
    pod = v100.running("greedy")["greedy"]
    assert pod.status.pid is not None
    state = StateFile(Home(v100.home).simulated)
    processes.hold(state, v100.report().gpus[0].uuid, 12000, pid=pod.status.pid)
    v100.until("the watchdog saw it", lambda: "uses 12000 MiB" in v100.report().notes.get(pod.meta.uid, ""))


def reported(one: Embedded) -> str:
    """The driver in the node's report; "" while nothing answers."""
    try:
        return one.report().driver
    except Unavailable:
        return ""


def test_an_upgraded_driver_begins_the_control_plane_anew_and_workloads_go_on(
    embedded: Callable[[str], Embedded],
) -> None:
    one = embedded("v100=1")
    one.ok("submit", "train", "-g", "0.5", *HOLD)
    pod = one.running("train")["train"]
    pid = one.pid()
    with StateFile(one.home / "simulated.json").change() as machine:
        machine["driver"] = "999.10"
    one.until("the new driver is reported", lambda: reported(one) == "999.10")
    assert one.pid() == pid
    assert "999.10; starting anew" in (one.home / "up.log").read_text()
    assert pod.status.pid is not None
    assert psutil.pid_exists(pod.status.pid)
    assert one.status("train") is Phase.RUNNING
    one.ok("down", "--workloads")
