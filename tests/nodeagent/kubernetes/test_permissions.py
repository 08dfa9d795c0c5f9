"""The agents' role grants what they do, and nothing else: the server denies the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.kubernetes.claims import read_claim
from nodeagent.kubernetes.client import ApiForbidden, KubernetesClient
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.kubernetes.kubeconfig import from_kubeconfig
from nodeagent.kubernetes.slice_store import SliceStore
from nodeagent.kubernetes.slices import specs
from tests.nodeagent.dra.harness.api_server import NAMESPACE, ApiServer
from tests.nodeagent.machines import NODE, Machine, fill, mig

USER = "system:serviceaccount:migctl-system:migctl-agent"
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_an_agent_needs_each_of_its_permissions(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m", "a100-40gb=16")
    agent = machine.agent()
    few = agent.report()
    fill(agent, machine, gpus=16)
    many = agent.report()
    with ApiServer() as server:
        api = KubernetesClient(from_kubeconfig(server.kubeconfig(tmp_path / "kubeconfig", NODE)))
        server.allocate("claim", NODE, [mig(machine.gpu(0), "1g.5gb", 0)])
        assert read_claim(api, NAMESPACE, "claim")
        node, slices = GpuNodeWriter(api, NODE), SliceStore(api, NODE)
        node.publish(few, NOW)
        owner = {"apiVersion": "migctl.dev/v1alpha1", "kind": "GpuNode", "name": NODE, "uid": node.uid}
        for report in (few, many, few, replace(few, gpus=())):
            slices.replace(specs(report), owner)
        assert server.call(lambda o: o.authorizer.unused(USER)) == []
        with pytest.raises(ApiForbidden):
            api.get("/api/v1/pods")
        api.close()
