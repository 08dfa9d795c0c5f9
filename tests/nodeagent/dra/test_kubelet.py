"""A kubelet's calls over the driver's real sockets, with the real agent behind them and claims in a dictionary."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from solver.model.demand import DeviceShare
from tests.nodeagent.cdi import cdi_specs
from tests.nodeagent.dra.harness.node import Node
from tests.nodeagent.machines import NODE


def test_a_kubelet_finds_and_registers_the_driver(node: Node) -> None:
    info = node.kubelet.register()
    assert (info.type, info.name, list(info.supported_versions)) == ("DRAPlugin", "gpu.migctl.dev", ["v1.DRAPlugin"])
    assert info.endpoint == str(node.plugin.endpoint)
    assert node.registered == 2


def test_only_root_reaches_the_sockets_and_the_specs(node: Node) -> None:
    node.allocate("a", "uid-a", node.share())
    node.prepare("a", "uid-a")
    assert stat.S_IMODE(node.plugin.endpoint.parent.stat().st_mode) == 0o700
    for path in (node.plugin.endpoint, node.plugin.registry, *node.cdi.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_prepared_claim_has_a_valid_spec_until_it_is_unprepared(node: Node) -> None:
    node.allocate("a", "uid-a", node.share("2g.10gb", 2))
    answer = node.prepare("a", "uid-a")
    assert answer.error == ""
    assert [(d.pool_name, d.device_name, list(d.cdi_device_ids)) for d in answer.devices] == [
        (NODE, "gpu-0-2g-10gb-2", ["gpu.migctl.dev/claim=uid-a"])
    ]
    assert node.machine.layout() == [("2g.10gb", 2)]
    (path,) = node.cdi.iterdir()
    spec = json.loads(path.read_text())
    cdi_specs.validate(node.cdi)
    instance = node.agent.report().gpus[0].instances[0]
    assert f"CUDA_VISIBLE_DEVICES={instance.uuid}" in spec["devices"][0]["containerEdits"]["env"]
    assert node.unprepare("a", "uid-a") == ""
    assert (node.held(), list(node.cdi.iterdir())) == ((), [])


def test_concurrent_and_repeated_prepares_of_one_claim_give_one_instance(node: Node) -> None:
    node.allocate("a", "uid-a", node.share())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: node.prepare("a", "uid-a"), range(16)))
    assert {a.SerializeToString(deterministic=True) for a in answers} == {
        answers[0].SerializeToString(deterministic=True)
    }
    assert answers[0].error == ""
    assert node.machine.layout() == [("2g.10gb", 0)]


def test_a_replaced_claim_is_refused(node: Node) -> None:
    node.allocate("a", "uid-new", node.share())
    assert "replaced" in node.prepare("a", "uid-old").error
    assert node.held() == ()


@pytest.mark.parametrize("uid", ["", "../x", "a/b", "x" * 64])
def test_a_uid_that_is_none_names_no_file(node: Node, uid: str) -> None:
    node.allocate("a", uid, node.share())
    assert "no uid" in node.prepare("a", uid).error
    assert list(node.cdi.iterdir()) == []


def test_what_is_not_this_nodes_or_is_held_or_is_no_profile_is_refused(node: Node) -> None:
    node.allocate("held", "uid-held", node.share("3g.20gb", 0))
    assert node.prepare("held", "uid-held").error == ""
    node.allocate("elsewhere", "uid-1", node.share(start=4), node="node-2")
    node.allocate("overlaps", "uid-2", node.share(start=2))
    wrong = DeviceShare(node.machine.gpu(), node.share().backing, 0.5, 1, "9g.99gb", 4, 2)
    node.allocate("wrong", "uid-3", wrong)
    assert "node-2" in node.prepare("elsewhere", "uid-1").error
    assert node.prepare("overlaps", "uid-2").error != ""
    assert node.prepare("wrong", "uid-3").error != ""
    assert "does not exist" in node.prepare("gone", "uid-4").error
    assert node.held() == ("uid-held",)
    assert node.machine.layout() == [("3g.20gb", 0)]


def test_an_allocation_without_our_words_is_refused(node: Node) -> None:
    node.allocate("a", "uid-a", node.share())
    node.claims["team-a", "a"]["status"]["allocation"]["devices"]["results"][0]["device"] = "gpu-7"
    assert "gpu-7" in node.prepare("a", "uid-a").error
    del node.claims["team-a", "a"]["status"]["allocation"]["devices"]["config"]
    assert "no config" in node.prepare("a", "uid-a").error
    assert node.held() == ()


def test_a_claim_that_is_gone_stays_busy_until_it_is_unprepared(node: Node) -> None:
    node.allocate("a", "uid-a", node.share())
    node.prepare("a", "uid-a")
    node.claims.clear()
    assert node.held() == ("uid-a",)
    assert [i.claim for i in node.agent.report().gpus[0].instances] == ["uid-a"]
    assert node.unprepare("a", "uid-a") == ""
    assert node.held() == ()


def test_a_new_start_keeps_what_is_held_restores_its_spec_and_removes_others(node: Node) -> None:
    node.allocate("a", "uid-a", node.share())
    node.prepare("a", "uid-a")
    (path,) = node.cdi.iterdir()
    content = path.read_bytes()
    node.stop()
    path.unlink()
    (node.cdi / "gpu.migctl.dev-claim_stale.json").write_text("{}")
    (node.cdi / "another-driver.json").write_text("{}")
    node.plugin.endpoint.write_text("left by SIGKILL")
    node.start()
    assert {p.name for p in node.cdi.iterdir()} == {path.name, "another-driver.json"}
    assert path.read_bytes() == content
    assert node.unprepare("a", "uid-a") == ""
    assert not path.exists()
