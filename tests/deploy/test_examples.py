"""deploy/examples, applied to a cluster in a process: what the page for newcomers promises."""

from __future__ import annotations

import pytest

from deploy import kustomize
from tests.deploy import schema
from tests.fakes.kubernetes_cluster.cluster import FakeCluster

EXAMPLES = {path.stem: kustomize.load(path)[0] for path in (kustomize.HERE / "examples").glob("*.yaml")}
JOBS = sorted(name for name, found in EXAMPLES.items() if found["kind"] == "Job")


@pytest.mark.parametrize("name", JOBS)
def test_an_example_fits_its_schema(name: str) -> None:
    schema.check(EXAMPLES[name], "V1Job", name)


@pytest.mark.anyio
async def test_all_examples_run_beside_each_other() -> None:
    async with FakeCluster().running() as cluster, cluster.controller():
        await cluster.node("node-a", "a100-40gb", "a100-40gb")
        await cluster.node("node-b", "v100", "v100", "v100", "v100", mig=False)
        cluster.create("projects", EXAMPLES["project"])
        team = EXAMPLES["project"]["metadata"]["name"]
        await cluster.until(lambda: cluster.get("resourceclaimtemplates", "migctl-gpu-containers", team) is not None)
        for name in JOBS:
            assert EXAMPLES[name]["metadata"]["namespace"] == team
            cluster.create("jobs", EXAMPLES[name], team)
        await cluster.until(lambda: list(cluster.phases(team).values()) == ["Running"] * len(JOBS))
