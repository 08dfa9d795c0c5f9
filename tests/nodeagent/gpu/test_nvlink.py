"""Who reaches whom over NVLink: through the driver's own answers, and in what the agent reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.gpu.nvlink import link_groups
from nodeagent.simulated_nvml.faults import Faults, parse
from tests.nodeagent.machines import Machine


@pytest.mark.parametrize(
    ("gpus", "groups"),
    [
        ("v100=3", [0, 0, 0]),
        ("v100", [None]),
        ("l40s=2", [None, None]),
        ("h100-nvl-94gb:nomig=5", [0, 0, 2, 2, None]),
        ("l4,v100=2,a100-40gb:nomig=2", [None, 1, 1, 3, 3]),
        ("a100-40gb=2", [None, None]),
    ],
)
def test_gpus_of_one_group_are_joined(tmp_path: Path, gpus: str, groups: list[int | None]) -> None:
    agent = Machine(tmp_path, gpus).agent()
    assert [gpu.link_group for gpu in agent.report().gpus] == groups


def test_links_go_with_mig_mode_and_come_back(tmp_path: Path) -> None:
    agent = Machine(tmp_path, "h100:nomig=3").agent()
    first = agent.gpus.uuids()[0]
    agent.gpus.set_dynamic_mig(True, [first])
    assert [gpu.link_group for gpu in agent.report().gpus] == [None, 1, 1]
    agent.gpus.set_dynamic_mig(False, [first])
    assert [gpu.link_group for gpu in agent.report().gpus] == [0, 0, 0]


def test_a_driver_that_does_not_tell_leaves_groups_unknown(tmp_path: Path) -> None:
    agent = Machine(tmp_path, "v100=2").agent(Faults(parse("nvmlDeviceGetP2PStatus=NOT_SUPPORTED")))
    assert [gpu.link_group for gpu in agent.report().gpus] == [None, None]


@given(st.integers(0, 7), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_groups_are_what_hangs_together(count: int, pairs: set[tuple[int, int]]) -> None:
    """Against a search from every GPU along the links."""
    gpus = [f"GPU-{number}" for number in range(count)]
    links = {(gpus[a], gpus[b]) for a, b in pairs if a != b and max(a, b) < count}
    links |= {(b, a) for a, b in links}
    groups = link_groups(lambda one, other: (one, other) in links, gpus)
    for gpu in gpus:
        reached, todo = set(), [gpu]
        while todo:
            reached.add(here := todo.pop())
            todo += [b for a, b in links if a == here and b not in reached]
        alike = {other for other in gpus if gpu in groups and groups.get(other) == groups[gpu]}
        assert alike == (reached if len(reached) > 1 else set())
        assert groups.get(gpu, gpus.index(min(reached))) == gpus.index(min(reached))
