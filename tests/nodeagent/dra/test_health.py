"""The devices' health as a kubelet hears it: at once, and again when it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from nodeagent.dra.health import SERVICES
from nodeagent.dra.stubs import health_pb2
from tests.limits import WAIT_S
from tests.nodeagent.dra.harness.node import Node
from tests.nodeagent.machines import NODE


@contextmanager
def listening(node: Node, service: str) -> Iterator[Iterator[Any]]:
    with grpc.insecure_channel(f"unix://{node.plugin.endpoint}") as channel:
        watch = channel.unary_stream(
            f"/{service}/NodeWatchResources",
            request_serializer=health_pb2.NodeWatchResourcesRequest.SerializeToString,
            response_deserializer=health_pb2.NodeWatchResourcesResponse.FromString,
        )
        stream = watch(health_pb2.NodeWatchResourcesRequest(), timeout=WAIT_S)
        yield stream
        stream.cancel()


def heard(answer: Any) -> dict[str, tuple[int, str]]:
    assert {d.device.pool_name for d in answer.devices} == {NODE}
    assert {(d.last_updated_time, d.health_check_timeout_seconds) for d in answer.devices} == {(1_000_000, 60)}
    return {d.device.device_name: (d.health, d.message) for d in answer.devices}


@pytest.mark.parametrize("service", SERVICES)
def test_a_listener_hears_every_device_and_every_change(node: Node, service: str) -> None:
    node.allocate("a", "uid-a", node.share())
    assert node.prepare("a", "uid-a").error == ""
    report = node.agent.report()
    with listening(node, service) as stream:
        node.health.put(report)
        first = next(stream)
        assert heard(first) == {
            "gpu-0": (health_pb2.HEALTHY, ""),
            "gpu-0-2g-10gb-0": (health_pb2.HEALTHY, ""),
        }
        node.health.put(replace(report, gpus=(replace(report.gpus[0], fenced="XID 79"),)))
        second = next(answer for answer in stream if answer != first)  # the same is repeated now and then
        assert heard(second) == {
            "gpu-0": (health_pb2.UNHEALTHY, "XID 79"),
            "gpu-0-2g-10gb-0": (health_pb2.UNHEALTHY, "XID 79"),
        }


def test_a_text_is_no_longer_than_the_kubelet_takes(node: Node) -> None:
    report = node.agent.report()
    node.health.put(replace(report, gpus=(replace(report.gpus[0], fenced="x" * 5000),)))
    with listening(node, SERVICES[0]) as stream:
        assert heard(next(stream)) == {"gpu-0": (health_pb2.UNHEALTHY, "x" * 1024)}
