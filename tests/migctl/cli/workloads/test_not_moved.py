"""What is not to be moved: said at the submission, shown, and kept to by every plan."""

from __future__ import annotations

import json

import pytest

from migctl.objects import GpuRequest, Workload
from tests.migctl.cli import scenes
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.scenes import A100, Placed


def test_it_is_said_at_the_submission_and_shown(team: Cli) -> None:
    team.ok("submit", "stays", "-g", "0.5", "--no-move")
    team.ok("training", "submit", "goes", "--gpu-portion-request", "0.5")
    spec = team.do(lambda cluster: cluster.get(Workload, "stays", "team-a")).spec
    assert (spec.movable, spec.preemptible) == (False, True)
    assert "training (preemptible, never moved, priority 50)" in team.ok("describe", "stays").out
    assert "never moved" not in team.ok("describe", "goes").out


def test_it_cannot_be_changed_later(team: Cli) -> None:
    async def pin(cluster: Cluster) -> None:
        await cluster.patch(await cluster.get(Workload, "goes", "team-a"), {"spec": {"movable": False}})

    team.ok("submit", "goes", "-g", "0.5")
    with pytest.raises(Exception, match=r"spec\.movable: cannot be changed after the submission"):
        team.do(pin)


@pytest.mark.parametrize("movable", [True, False])
def test_no_defragmentation_moves_it(team: Cli, movable: bool) -> None:
    first, second = (scenes.gpu("node-b", index, A100) for index in range(2))

    async def fill(cluster: Cluster) -> None:
        await cluster.create(scenes.node("node-b", first, second))
        for name, gpu, profile in (("half", first, "3g.20gb"), ("quarter", second, "2g.10gb")):
            share = Placed("node-b", (scenes.mig_share(gpu, profile, 0),))
            await scenes.workload(cluster, name, GpuRequest(profile=profile), share, movable=movable)

    team.do(fill)
    moves = json.loads(team.ok("plan", "defrag", "--for", "7g.40gb", "-o", "json").out)["moves"]
    assert len(moves) == int(movable)
