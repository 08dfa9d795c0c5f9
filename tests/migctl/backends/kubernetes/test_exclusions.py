"""The annotation that remembers which nodes refused a pod: pruned, and never larger than Kubernetes takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from migctl.backends.kubernetes.meaning import exclusions

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WHY = "0/1000 nodes are available: 1 node(s) had volume node affinity conflict, 999 node(s) didn't match. " * 10


def test_two_thousand_refusals_stay_small_and_the_latest_count() -> None:
    text = None
    for number in range(2000):
        name = f"gpu-node-{number:04d}".ljust(63, "x")
        text = exclusions.add(text, name, WHY, NOW + timedelta(seconds=number / 100))
        assert len(text) < 65536
    counted = exclusions.read(text, NOW + timedelta(seconds=20))
    assert "gpu-node-1999".ljust(63, "x") in counted
    assert len(counted) == exclusions.MOST_NODES


def test_what_is_over_for_long_is_pruned_and_counts_anew() -> None:
    text = exclusions.add(None, "a", "no", NOW)
    text = exclusions.add(text, "a", "no", NOW + timedelta(minutes=2))
    later = NOW + timedelta(hours=2)
    text = exclusions.add(text, "b", "no", later)
    assert '"a"' not in text
    assert exclusions.read(exclusions.add(text, "a", "no", later), later)["a"].until == later + exclusions.SHORTEST


def test_a_node_that_refuses_again_is_left_out_for_twice_as_long() -> None:
    text = exclusions.add(exclusions.add(None, "a", "no", NOW), "a", "no", NOW + timedelta(minutes=1))
    assert exclusions.read(text, NOW)["a"].until == NOW + timedelta(minutes=1) + 2 * exclusions.SHORTEST
