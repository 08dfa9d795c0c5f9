"""The trace's form, and the rules for fractions on examples that can be checked by hand."""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from migctl.simulate.baselines.fragments import Fragments, RequestKind
from migctl.simulate.baselines.plain import RULES, Fgd
from migctl.simulate.demand import openb
from migctl.simulate.events import Scheduler
from migctl.simulate.events import SimulationEventKind as Happened
from migctl.simulate.fleet import PROJECT, SimulatedFleet, parse
from migctl.simulate.loop import play
from migctl.simulate.policies import BOUND, schedulers
from solver.model.demand import Demand, Fraction, Request, WholeGpus
from tests.migctl.simulate.judge import judged

TRACE = Path(__file__).parents[3] / "traces" / "openb"
NODES = "sn,cpu_milli,memory_mib,gpu,model\nn0,8000,65536,1,V100M16\nn1,96000,262144,2,G2\nn2,1,1,0,none\n"
PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
    "late,6000,12288,1,460,,LS,Running,100,130,100\n"
    "cpu,6000,12288,0,0,,LS,Running,1,2,1\n"
    "both,6000,12288,2,1000,G2|G3,LS,Running,10,90,\n"
)


def _written(folder: Path, nodes: str = NODES, pods: str = PODS) -> tuple[Path, Path]:
    (folder / "nodes.csv").write_text(nodes)
    (folder / "pods.csv.gz").write_bytes(gzip.compress(pods.encode()))
    return folder / "nodes.csv", folder / "pods.csv.gz"


def test_nodes_and_pods_are_read_as_they_are(tmp_path: Path) -> None:
    nodes, pods = _written(tmp_path)
    fleet, arrivals = openb.fleet(nodes), openb.arrivals(pods)
    assert [(node.name, node.pool, node.cpu_milli) for node in fleet.nodes] == [
        ("n0", "V100M16", 8000),
        ("n1", "G2", 96000),
    ]
    assert [(gpu.node, gpu.model, gpu.mig) for gpu in fleet.gpus] == [("n0", "V100M16", False)] + 2 * [
        ("n1", "G2", False)
    ]
    assert [(a.request.name, a.at, a.lasts, a.request.demand) for a in arrivals] == [
        ("both", 10.0, 80.0, WholeGpus(2)),
        ("late", 100.0, 30.0, Fraction(0.46)),
    ]
    assert [a.request.pools for a in arrivals] == [("G2", "G3"), ()]


@pytest.mark.parametrize(
    ("nodes", "pods", "said"),
    [
        ("sn,gpu\n", PODS, "nodes.csv has no column cpu_milli, memory_mib, model"),
        (NODES.replace(",2,G2", ",two,G2"), PODS, "nodes.csv, line 3: gpu is 'two', no number"),
        (NODES.split("n0")[0], PODS, "nodes.csv lists no node with a GPU"),
        (NODES, PODS.replace("460", "1460"), "pods.csv.gz, line 2: 1 GPUs, 1460 thousandths of each, is no request"),
        (NODES, PODS.replace("creation_time", "born"), "pods.csv.gz has no column creation_time"),
    ],
)
def test_what_is_no_trace_is_said_with_its_line(tmp_path: Path, nodes: str, pods: str, said: str) -> None:
    where, what = _written(tmp_path, nodes, pods)
    with pytest.raises(openb.BadTrace, match=re.escape(said)):
        _ = openb.fleet(where), openb.arrivals(what)


def test_the_whole_trace_is_there() -> None:
    fleet = openb.fleet(TRACE / "openb_node_list_gpu_node.csv")
    pods = openb.arrivals(TRACE / "openb_pod_list_default.csv.gz")
    assert (len(fleet.nodes), len(fleet.gpus), len(pods)) == (1213, 6212, 7064)
    assert sum(fleet.size(pod.request.demand).compute for pod in pods) == pytest.approx(6086.8)
    stay = openb.staying(pods)
    assert [pod.at for pod in stay[:3]] == [0.0, 1.0, 2.0]
    assert {pod.lasts for pod in stay} == {math.inf}
    filled = openb.filling(pods, fleet, 0.1, seed=1)
    assert filled == openb.filling(pods, fleet, 0.1, seed=1) != openb.filling(pods, fleet, 0.1, seed=2)
    assert sum(fleet.size(pod.request.demand).compute for pod in filled) == pytest.approx(621.2, abs=8)


def test_on_a_part_of_the_trace_no_policy_gives_out_what_is_not_there() -> None:
    whole = openb.fleet(TRACE / "openb_node_list_gpu_node.csv")
    names = {node.name for node in whole.nodes[::40]}
    fleet = SimulatedFleet(whole.nodes[::40], tuple(gpu for gpu in whole.gpus if gpu.node in names), whole.models)
    arrivals = openb.filling(openb.arrivals(TRACE / "openb_pod_list_default.csv.gz"), fleet, 1.2, seed=1)
    admitted: Counter[str] = Counter()
    for name, make in schedulers(fleet, arrivals).items():
        events = play(arrivals, make()) if name == BOUND else judged(fleet, play(arrivals, make()))
        admitted[name] = sum(event.kind is Happened.ADMITTED for event in events)
    assert max(admitted.values()) == admitted[BOUND] < len(arrivals)


def _request(claim: str, demand: Demand, cpu: int = 0) -> Request:
    return Request(claim, claim, PROJECT, demand, cpu_milli=cpu)


def _place(scheduler: Scheduler, claim: str, demand: Demand) -> list[str]:
    admission = scheduler.admit(_request(claim, demand), 0.0)
    assert admission is not None
    assert admission.grant is not None
    return [share.gpu for share in admission.grant.devices]


@pytest.mark.parametrize(
    ("rule", "gpu"),
    [
        ("first-fit", "node-0000/0"),
        ("best-fit", "node-0001/1"),
        ("hami", "node-0001/1"),
        ("hami-spread", "node-0001/2"),
    ],
)
def test_where_a_quarter_goes(rule: str, gpu: str) -> None:
    """One node of eight GPUs is empty; the other has a whole GPU and half of the next one taken."""
    baseline = RULES[rule](parse("v100=16"))
    _place(baseline, "first", WholeGpus(8))
    _place(baseline, "whole", WholeGpus())
    _place(baseline, "half", Fraction(0.5))
    baseline.release("first")
    assert _place(baseline, "quarter", Fraction(0.25)) == [gpu]


def test_fgd_puts_a_share_where_what_is_left_is_of_use() -> None:
    """Halves and whole GPUs are typical: 0.3 on the GPU with 0.4 wastes nothing more, and elsewhere a whole GPU."""
    fleet = parse("v100=3")
    requested = [_request("a", Fraction(0.5)), _request("b", WholeGpus())]
    fgd = Fgd(fleet, requested)
    assert _place(fgd, "c", Fraction(0.6)) == ["node-0000/0"]
    assert _place(fgd, "d", Fraction(0.5)) == ["node-0000/1"]
    assert _place(fgd, "e", Fraction(0.3)) == ["node-0000/0"]
    assert _place(fgd, "f", WholeGpus()) == ["node-0000/2"]
    fgd.release("f")
    assert _place(fgd, "g", Fraction(0.5)) == ["node-0000/1"]
    assert fgd.admit(_request("h", WholeGpus(2)), 0.0) is None


def test_fragmentation_of_a_node_is_what_typical_requests_cannot_use() -> None:
    halves, wholes = RequestKind(1000, 0, 1, 500_000), RequestKind(4000, 0, 1, 1_000_000)
    import numpy as np

    fragments = Fragments([halves, halves, halves, wholes])
    cpu, memory = np.array([2000, 8000]), np.array([0, 0])
    gpus = np.array([[1_000_000, 300_000], [600_000, -1]])
    # node 0: halves cannot use 0.3; wholes lack CPU, so all of it is lost. node 1: wholes cannot use 0.6
    expected = np.array([0.75 * 300_000 + 0.25 * 1_300_000, 0.25 * 600_000])
    assert fragments.of(cpu, memory, gpus) == pytest.approx(expected)


def test_a_trace_that_is_only_drawn_from_needs_no_times(tmp_path: Path) -> None:
    pods = tmp_path / "pods.csv"
    pods.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\nb,1,1,1,500,\na,1,1,1,1000,V100\n")
    with pytest.raises(openb.BadTrace, match="has no column creation_time, deletion_time"):
        openb.arrivals(pods)
    drawn = openb.arrivals(pods, timed=False)
    assert [(pod.request.name, pod.at, pod.lasts) for pod in drawn] == [("b", 0.0, math.inf), ("a", 0.0, math.inf)]
