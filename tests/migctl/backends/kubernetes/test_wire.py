"""Reports and allocations keep their meaning on their way through the API server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.contract import wire
from nodeagent.contract.allocation import Allocation, GpuProcess, NodeReport
from solver.model import catalog
from solver.model.cluster import Backing, Gpu, Instance, InstanceState, SharedPart
from solver.model.demand import DeviceShare, Grant

NOON = datetime(2030, 1, 1, 12, 0, 0, 654321, tzinfo=UTC)

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
portions = st.floats(0.01, 1.0)
shares = st.one_of(
    st.builds(DeviceShare, words, st.just(Backing.WHOLE), st.just(1.0), st.integers(1, 200_000)),
    st.builds(DeviceShare, words, st.just(Backing.SOFTWARE), portions, st.integers(1, 200_000)),
    st.builds(
        DeviceShare,
        words,
        st.just(Backing.MIG),
        portions,
        st.integers(1, 200_000),
        st.sampled_from(["1g.5gb", "1g.5gb+me", "3g.20gb"]),
        st.integers(0, 7),
        st.integers(1, 8),
    ),
)
grants = st.builds(Grant, words, st.lists(shares, min_size=1, max_size=8).map(tuple))


def named(share: DeviceShare) -> str:
    return wire.device_name(0, share)


def claim_with(allocation: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "frac05-x7x2p-gpu-8fqzl",
            "namespace": "team-a",
            "uid": "c-1",
            "ownerReferences": [{"kind": "Pod", "name": "frac05-x7x2p"}],
        },
        "status": {"allocation": allocation},
    }


@given(grants)
def test_an_allocation_reads_back_as_the_grant_it_was_written_from(grant: Grant) -> None:
    travelled = json.loads(json.dumps(wire.allocation_to_json(grant, named, NOON)))
    assert wire.grant_from_json(travelled) == grant
    allocation = wire.allocation_from_json(claim_with(travelled))
    assert (allocation.claim, allocation.name, allocation.project) == ("c-1", "frac05-x7x2p", "team-a")
    assert (allocation.node, allocation.devices) == (grant.node, grant.devices)


def test_a_report_reads_back_whole() -> None:
    model = catalog.find("A100-40GB")
    instance = Instance("2g.10gb", 4, 2, InstanceState.BUSY, "c-1", "MIG-1")
    report = NodeReport(
        node="node-a",
        boot_id="b-1",
        generation=7,
        gpus=(
            Gpu("GPU-5aF", "node-a", 0, model.id, model.memory_mib, mig=True, instances=(instance,)),
            Gpu("GPU-6b", "node-a", 1, "V100", 16160, parts=(SharedPart("c-2", 0.5, 8080),), link_group=3),
        ),
        models=MappingProxyType({model.id: model, "V100": catalog.find("V100")}),
        allocations=(
            Allocation(
                "c-1", "pod-1", "team-a", "node-a", (DeviceShare("GPU-5aF", Backing.MIG, 2 / 7, 9856, "2g.10gb", 4, 2),)
            ),
            Allocation("c-2", "pod-2", "team-a", "node-a", (DeviceShare("GPU-6b", Backing.SOFTWARE, 0.5, 8080),)),
        ),
        driver="580.1",
        processes=(GpuProcess("GPU-5aF", 42, 100, "c-1", "MIG-1"),),
        notes=MappingProxyType({"GPU-5aF": "reset needed"}),
    )
    travelled = json.loads(json.dumps(wire.report_to_json(report)))
    assert wire.report_from_json(travelled) == report
    assert "bootId" in travelled
    assert travelled["gpus"][0]["memoryMib"] == model.memory_mib
    assert "GPU-5aF" in travelled["notes"]


def test_the_allocation_says_when_and_where() -> None:
    grant = Grant("node-a", (DeviceShare("GPU-1", Backing.MIG, 2 / 7, 9856, "2g.10gb+me", 4, 2),))
    noon_elsewhere = NOON.astimezone(timezone(timedelta(hours=2)))
    allocation = wire.allocation_to_json(grant, named, noon_elsewhere)
    assert allocation["allocationTimestamp"] == "2030-01-01T12:00:00Z"
    assert allocation["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"] == ["node-a"]
    assert allocation["devices"]["results"] == [
        {"request": "gpu", "driver": "gpu.migctl.dev", "pool": "node-a", "device": "gpu-0-2g-10gb-me-4"}
    ]


@pytest.mark.parametrize(
    ("allocation", "said"),
    [
        (None, "not allocated"),
        ({}, "not allocated"),
        ({"devices": {"results": [{"driver": "gpu.nvidia.com", "pool": "n"}]}}, "0 pools"),
        ({"devices": {"results": [{"driver": "gpu.migctl.dev", "pool": p} for p in "ab"]}}, "2 pools"),
        ({"devices": {"results": [{"driver": "gpu.migctl.dev", "pool": "n"}]}}, "no config"),
        (
            {
                "devices": {
                    "results": [{"driver": "gpu.migctl.dev", "pool": "n"}],
                    "config": [
                        {
                            "opaque": {
                                "driver": "gpu.migctl.dev",
                                "parameters": {"kind": "Shares", "devices": [{"gpu": "GPU-1", "backing": "magic"}]},
                            }
                        }
                    ],
                }
            },
            "magic",
        ),
    ],
)
def test_what_is_no_allocation_of_ours_is_refused(allocation: dict[str, Any] | None, said: str) -> None:
    with pytest.raises(wire.NotOurs, match=said):
        wire.allocation_from_json(claim_with(allocation))


@given(shares, st.integers(0, 63))
def test_device_names_are_labels(share: DeviceShare, index: int) -> None:
    name = wire.device_name(index, share)
    assert len(name) <= 63
    assert name == name.lower()
    assert all(c.isalnum() or c == "-" for c in name)
    assert name[0] != "-" != name[-1]
