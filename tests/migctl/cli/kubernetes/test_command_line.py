"""What people type on a cluster, under their own permissions: over real HTTP, with controller and agents at work."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from nodeagent.gpu.mig_mode import ModeChange, Outcome
from nodeagent.kubernetes.access import ApiAccess
from nodeagent.kubernetes.client import KubernetesClient
from nodeagent.kubernetes.dynamic_mig import ModeReconciler
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from tests.fakes import manifests
from tests.fakes.kubernetes_api.kinds import BY_PLURAL
from tests.fakes.kubernetes_api.storage import Json
from tests.fakes.kubernetes_api.users import ADMIN
from tests.fakes.kubernetes_cluster.cluster import AGENT, FakeCluster
from tests.fakes.kubernetes_cluster.standin import MERGE
from tests.migctl.cli.kubernetes.command_line import Person, person

pytestmark = pytest.mark.anyio

SLEEP = ("-i", "busybox", "--", "sleep", "infinity")
HALF = {"gpu-fraction": "0.5"}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """One V100 and team-a with a quota of 1; team-b is somebody else's."""
    with capture_logs():  # the controller's, which would stand among what commands print
        async with FakeCluster().running() as made, made.controller():
            await made.node("node-a", "v100")
            await made.project("team-a", quota=1)
            await made.project("team-b", quota=1)
            yield made


@pytest.fixture
def ana(cluster: FakeCluster, tmp_path: Path) -> Person:
    return person(cluster, tmp_path)


def running(cluster: FakeCluster, *names: str) -> bool:
    phases = cluster.phases("team-a")
    return all(any(pod.startswith(name) and phases[pod] == "Running" for pod in phases) for name in names)


def waits(cluster: FakeCluster, name: str) -> bool:
    """Whether the controller has said why a pod waits."""
    return any(
        pod["metadata"]["name"].startswith(name)
        and any(
            c["type"] == "migctl.dev/Placed" and c["status"] == "False" for c in pod["status"].get("conditions", [])
        )
        for pod in cluster.pods("team-a")
    )


def row(table: str, name: str) -> list[str]:
    """The cells of one row."""
    line = next(line for line in table.splitlines() if line.startswith(f"{name} "))
    return re.split(r"\s{2,}", line.rstrip())


def container(obj: Json | None) -> Json:
    assert obj is not None
    made: Json = obj["spec"]["template"]["spec"]["containers"][0]
    return made


async def test_a_workload_is_whose_the_cluster_says_not_the_operating_system(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """USER named the login of the machine where it was typed, though `whoami` knew the cluster's user."""
    monkeypatch.setenv("LOGNAME", "root")
    for name, shown in (("ana", "ana"), ("ben@example.com", "ben-example.com")):
        someone = person(cluster, tmp_path, name)
        assert (await someone.ok("whoami", "-o", "name")).out == f"{name}\n"
        await someone.ok("submit", f"of-{name[:3]}", "-g", "0.5", *SLEEP)
        listed = (await someone.ok("list")).out
        assert row(listed, f"of-{name[:3]}")[-3] == shown
        assert f"User:        {shown}" in (await someone.ok("describe", f"of-{name[:3]}")).out


async def test_two_fractions_share_a_gpu_and_a_third_waits_until_one_is_deleted(
    cluster: FakeCluster, ana: Person
) -> None:
    for name in ("frac1", "frac2", "frac3"):
        said = await ana.ok("submit", name, "-g", "0.5", *SLEEP)
        assert said.out == f"Submitted training {name} to project team-a: 0.50 GPU\n"
    await cluster.until(lambda: running(cluster, "frac1", "frac2") and waits(cluster, "frac3"))
    job = cluster.get("jobs", "frac1", "team-a") or {}
    assert job["spec"]["template"]["metadata"]["annotations"] == HALF
    assert job["spec"]["template"]["metadata"]["labels"]["user"] == "ana"
    assert container(job) == {"name": "main", "image": "busybox", "args": ["sleep", "infinity"]}

    listed = (await ana.ok("list")).out
    assert listed.splitlines()[0] == "Showing jobs for project team-a"
    assert row(listed, "frac1")[1:2] + row(listed, "frac1")[3:] == [
        "Running", "node-a", "busybox", "Train", "team-a", "ana", "0.50 (0.50)", "1 (0)"
    ]  # fmt: skip
    assert row((await ana.ok("training", "list", "-A")).out, "frac3")[1:] == [
        "Training", "Pending", "team-a", "0/1", "0.00"
    ]  # fmt: skip
    assert row((await ana.ok("node", "list")).out, "node-a")[6] == "1.00"
    assert row((await ana.ok("project", "list")).out, "team-a")[:2] == ["team-a", "*"]
    assert "frac1" in (await ana.ok("gpus")).out
    assert "no GPU has 0.5 GPU free" in (await ana.ok("why", "frac3")).out
    described = (await ana.ok("describe", "frac3")).out
    assert "NoFreeGpu" in described
    assert "Status:      Pending (no-free-gpu)" in described

    assert (await ana.ok("delete", "frac1")).out == "workload frac1 deleted\n"
    again = await ana("delete", "frac1")
    assert (again.code, again.err) == (3, "error: no workload 'frac1' in project team-a\nhint: migctl list -p team-a\n")
    await cluster.until(lambda: running(cluster, "frac2", "frac3"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-g", "0"), 2, "'0' GPUs cannot be given"),
        (("-g", "-1"), 2, "'-1' GPUs cannot be given"),
        (("-g", "1.5"), 2, "'1.5' GPUs cannot be given"),
        (("-g", "0.5", "--gpu-memory", "5G"), 2, "exclude each other"),
        (("-g", "0.5", "-p", "team-c"), 3, "no project is called 'team-c'\nhint: projects: team-a, team-b"),
        (("-g", "0.5", "-p", "team-b"), 6, "ana may not create jobs in project team-b\nhint: an admin of the project"),
        (("--mig-profile", "9g.90gb"), 2, "no GPU of this cluster has MIG"),
    ],
)
async def test_a_bad_request_creates_nothing(
    cluster: FakeCluster, ana: Person, words: tuple[str, ...], code: int, said: str
) -> None:
    result = await ana("submit", "bad", *words, *SLEEP)
    assert (result.code, said in result.err) == (code, True), result
    assert not list(cluster.operations.storage.all("jobs"))


async def test_an_image_is_needed_and_a_name_is_taken_once(cluster: FakeCluster, ana: Person) -> None:
    bare = await ana("submit", "w", "-g", "0.5")
    assert (bare.code, "needs a container image" in bare.err, "-i IMAGE" in bare.err) == (2, True, True)
    assert "needs a container image" in (await ana("submit", "w", "-g", "0.5", "--dry-run")).err
    await ana.ok("submit", "w", "-g", "0.5", "--dry-run", *SLEEP)
    assert not list(cluster.operations.storage.all("jobs"))
    await ana.ok("submit", "w", "-g", "0.5", *SLEEP)
    for words in (("submit", "w"), ("workspace", "submit", "w", "--dry-run")):
        taken = await ana(*words, "-g", "1", *SLEEP)
        assert (taken.code, "already has a workload 'w'" in taken.err) == (4, True)
    named = json.loads((await ana.ok("submit", "--gpu-memory", "5G", "-o", "json", *SLEEP)).out)
    assert re.fullmatch(r"job-[0-9a-f]{4}", named["meta"]["name"])
    assert named["spec"]["gpuRequest"] == {"memoryMib": 4769}


async def test_workspaces_never_end_and_stop_and_go_on(cluster: FakeCluster, ana: Person) -> None:
    await ana.ok("submit", "desk", "-g", "0.5", "--interactive", "-e", "A=1", "--command", *SLEEP)
    await ana.ok("workspace", "submit", "small", "--gpu-portion-request", "0.3", *SLEEP)
    await cluster.until(lambda: running(cluster, "desk-0", "small-0"))
    made = container(cluster.get("statefulsets", "desk", "team-a"))
    assert (made["command"], made["env"]) == (["sleep", "infinity"], [{"name": "A", "value": "1"}])
    assert row((await ana.ok("list")).out, "desk")[5] == "Interactive"
    await ana.ok("submit", "more", "-g", "0.3", "--interactive", *SLEEP)
    await cluster.until(lambda: waits(cluster, "more-0"))
    assert "non-preemptible" in (await ana.ok("why", "more")).out

    await ana.ok("suspend", "desk")
    await cluster.until(lambda: running(cluster, "more-0") and not running(cluster, "desk"))
    assert row((await ana.ok("list")).out, "desk")[1] == "Suspended"
    await ana.ok("delete", "more")
    await ana.ok("resume", "desk")
    await cluster.until(lambda: running(cluster, "desk-0", "small-0"))
    await ana.ok("exec", "desk", "--", "nvidia-smi", "-L")
    await ana.ok("bash", "desk")
    assert [list(words)[:4] for words, _, _ in ana.executed] == [["kubectl", "--context", "fake", "exec"]] * 2
    assert list(ana.executed[0][0])[5:] == [
        "--namespace", "team-a", "desk-0", "--container", "main", "--", "nvidia-smi", "-L"
    ]  # fmt: skip


async def test_what_kubectl_made_is_shown_and_deleted_like_the_rest(cluster: FakeCluster, ana: Person) -> None:
    cluster.ends = lambda pod: {"good": 0, "bad": 1}.get(pod["metadata"].get("labels", {}).get("job-name", ""))
    cluster.create("jobs", manifests.job("good", gpus=1), "team-a")
    await cluster.until(lambda: "Complete" in str((cluster.get("jobs", "good", "team-a") or {}).get("status")))
    cluster.create("jobs", manifests.job("bad", gpus=1, backoffLimit=1), "team-a")
    await cluster.until(lambda: "BackoffLimit" in str((cluster.get("jobs", "bad", "team-a") or {}).get("status")))
    tenth = {"gpu-fraction": "0.1"}
    cluster.create("jobs", manifests.job("no-gpu"), "team-a")
    cluster.create("statefulsets", manifests.stateful_set("set", tenth), "team-a")
    cluster.create("deployments", manifests.deployment("serve", tenth), "team-a")
    cluster.create("pods", manifests.pod("alone", tenth), "team-a")
    owner = {"apiVersion": "example.com/v1", "kind": "Other", "name": "foreign", "uid": "u-1", "controller": True}
    foreign = manifests.pod("foreign-0", tenth)
    foreign["metadata"]["ownerReferences"] = [owner]
    cluster.create("pods", foreign, "team-a")
    await cluster.until(lambda: running(cluster, "set-0", "serve-", "alone", "foreign-0"))
    listed = (await ana.ok("list")).out
    shown = {name: (row(listed, name)[1], row(listed, name)[-2]) for name in ("set", "serve", "alone", "foreign")}
    assert shown == dict.fromkeys(("set", "serve", "alone", "foreign"), ("Running", "0.10 (0.10)"))
    assert [row(listed, name)[1] for name in ("good", "bad")] == ["Completed", "Failed"]
    assert "ana" in row(listed, "good")
    assert "no-gpu" not in listed
    assert "BackoffLimitExceeded" in (await ana.ok("describe", "bad")).out
    refused = await ana("suspend", "alone")
    assert (refused.code, "is a bare pod" in refused.err) == (2, True)
    await ana.ok("delete", "good", "bad", "set", "serve", "alone")
    await cluster.until(lambda: set(cluster.phases("team-a")) <= {"foreign-0"} | set(_of(cluster, "no-gpu")))
    assert (await ana.ok("list", "-o", "name")).out == "workload/foreign\n"


def _of(cluster: FakeCluster, name: str) -> list[str]:
    return [pod for pod in cluster.phases("team-a") if pod.startswith(name)]


@pytest.mark.parametrize("api", ["coordination.k8s.io/v1", "example.com/v1"])
async def test_what_another_controller_made_goes_with_what_makes_it(
    cluster: FakeCluster, tmp_path: Path, api: str
) -> None:
    admin = person(cluster, tmp_path, "admin")
    maker = cluster.create("leases", {"metadata": {"name": "foreign"}}, "team-a")
    owner = {"apiVersion": api, "kind": "Lease", "name": "foreign", "uid": maker["metadata"]["uid"], "controller": True}
    pod = manifests.pod("foreign-0", {"gpu-fraction": "0.1"})
    pod["metadata"]["ownerReferences"] = [owner]
    cluster.create("pods", pod, "team-a")
    gone = await admin("delete", "foreign", "-p", "team-a")
    if api == "example.com/v1":
        assert (gone.code, "which this API server does not know" in gone.err) == (6, True), gone
    else:
        assert gone.out == "workload foreign deleted\n"
        assert cluster.get("leases", "foreign", "team-a") is None


async def test_a_parameter_search_runs_so_many_at_a_time(cluster: FakeCluster, ana: Person) -> None:
    await ana.ok(
        "submit", "search", "-g", "0.1", "--parallelism", "3", "--completions", "5", "--backoff-limit", "1",
        "--ttl-after-finish", "1h", "--suspend", *SLEEP,
    )  # fmt: skip
    spec = (cluster.get("jobs", "search", "team-a") or {})["spec"]
    kept = {key: spec[key] for key in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished")}
    assert kept == {"parallelism": 3, "completions": 5, "backoffLimit": 1, "ttlSecondsAfterFinished": 3600}
    assert spec["completionMode"] == "Indexed"
    assert not cluster.phases("team-a")
    await ana.ok("resume", "search")
    await cluster.until(lambda: list(cluster.phases("team-a").values()) == ["Running"] * 3)
    assert "0 of 5" in (await ana.ok("describe", "search")).out

    async def written(request: web.Request, match: Any) -> web.Response:
        assert request.query["container"] == "main"
        return web.Response(text=f"from {match['name'].rsplit('-', 1)[0]}\n")

    cluster.server.extras["log"] = written
    lines = (await ana.ok("logs", "search")).out.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"\[search-\w+\] from search", line) for line in lines)


async def test_logs_wait_for_what_has_not_started(cluster: FakeCluster, ana: Person) -> None:
    async def written(request: web.Request, match: Any) -> web.Response:
        return web.Response(text="hello")

    cluster.server.extras["log"] = written
    await ana.ok("submit", "big", "-g", "1", *SLEEP)
    await cluster.until(lambda: running(cluster, "big"))
    await ana.ok("submit", "later", "-g", "1", *SLEEP)
    early = await ana("logs", "later")
    assert (early.code, "has written nothing yet: it is Pending" in early.err) == (3, True)
    following = asyncio.ensure_future(ana.ok("logs", "-f", "later"))
    cluster.delete("jobs", "big", "team-a")
    assert (await following).out == "hello"


async def test_people_read_what_they_lack_and_admins_do_it(cluster: FakeCluster, ana: Person, tmp_path: Path) -> None:
    refused = await ana("project", "create", "team-d", "--quota", "1")
    assert refused.code == 6
    assert "ana may not create projects, which belong to the whole cluster" in refused.err
    assert "migctl-admin" in refused.err
    admin = person(cluster, tmp_path, "admin")
    await admin.ok("project", "create", "team-d", "--quota", "2")
    await admin.ok("project", "update", "team-d", "--quota", "3")
    assert (cluster.get("projects", "team-d") or {})["spec"]["quota"] == 3
    await admin.ok("project", "delete", "team-d")
    await admin.ok("submit", "theirs", "-g", "1", "-p", "team-b", *SLEEP)
    await cluster.until(lambda: "Running" in cluster.phases("team-b").values())
    kept = await admin("project", "delete", "team-b")
    assert (kept.code, "still has 1 workload(s): theirs" in kept.err) == (4, True)

    listed = await ana.ok("list", "-A")
    assert "theirs" not in listed.out
    assert "other projects (team-b)" in listed.err
    session = await ana.ok("plan", "what-if", "--add", "1")
    assert "team-a/new-1   -     waits" in session.out
    assert "starts on new-node-1/0" in (await ana.ok("plan", "what-if", "--add", "1", "--add-node", "v100=1")).out
    assert (await ana.ok("whoami")).out.splitlines()[0] == "User:    ana (groups: system:authenticated)"
    assert "No move would open a slot" in (await admin.ok("plan", "defrag", "--apply", "--yes")).out
    stranger = person(cluster, tmp_path, "eve", "team-c")
    nothing = await stranger("list", "-A")
    assert (nothing.code, "of the whole cluster\nhint: name a project" in nothing.err) == (6, True)


async def test_whoever_sees_the_machines_asks_what_if_about_them_too(
    cluster: FakeCluster, ana: Person, tmp_path: Path
) -> None:
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    cluster.operations.patch(ADMIN, BY_PLURAL["nodes"], "", "node-a", not_ready, MERGE, "status")
    session, admin = ("plan", "what-if", "--add", "0.5", "-p", "team-a"), person(cluster, tmp_path, "admin")
    assert "team-a/new-1   -     waits" in (await admin.ok(*session)).out
    assert "team-a/new-1   -     starts on node-a/0" in (await ana.ok(*session)).out


async def test_departments_are_divided_on_a_cluster_too(cluster: FakeCluster, tmp_path: Path) -> None:
    admin = person(cluster, tmp_path, "admin")
    await admin.ok("department", "create", "research", "--quota", "1")
    await admin.ok("project", "update", "team-a", "--department", "research")
    await admin.ok("submit", "held", "-g", "0.5", *SLEEP)
    await cluster.until(lambda: (cluster.get("departments", "research") or {})["status"].get("allocated") == 0.5)
    assert row((await admin.ok("department", "list")).out, "research")[:4] == ["research", "1.00", "unlimited", "0.50"]
    kept = await admin("department", "delete", "research")
    assert (kept.code, "still has 1 project(s): team-a" in kept.err) == (4, True)
    assert (await person(cluster, tmp_path)("department", "update", "research", "--quota", "9")).code == 6


async def test_each_context_has_its_own_default_project(cluster: FakeCluster, ana: Person) -> None:
    assert "Project: team-a" in (await ana.ok("whoami")).out
    await ana.ok("project", "set", "team-b")
    assert "Project: team-b" in (await ana.ok("whoami")).out
    kubeconfig = Path(ana.environ["KUBECONFIG"])
    kubeconfig.write_text(kubeconfig.read_text().replace('"name": "fake", "context"', '"name": "other", "context"'))
    assert "Project: team-a" in (await ana.ok("whoami", "--context", "other")).out


async def test_a_watch_ends_with_a_word_when_the_server_goes_away(cluster: FakeCluster, ana: Person) -> None:
    watching = asyncio.ensure_future(ana("list", "-w"))
    await cluster.until(lambda: sum(call.watch and call.user == "ana" for call in cluster.server.faults.calls) >= 5)
    cluster.server.faults.down = True
    cluster.server.cut_watches()
    ended = await watching
    cluster.server.faults.down = False
    assert (ended.code, "the API server does not answer" in ended.err) == (1, True), ended


async def test_a_wait_hears_of_what_is_mine_to_see(cluster: FakeCluster, ana: Person) -> None:
    await cluster.project("team-c")
    cluster.operations.authorizer.let_edit("ana", "team-c")
    await ana.ok("submit", "big", "-g", "1", *SLEEP)
    await cluster.until(lambda: running(cluster, "big"))
    await ana.ok("submit", "later", "-g", "0.5", *SLEEP)
    waiting = asyncio.ensure_future(ana.ok("wait", "later", "--timeout", "60s"))
    await cluster.until(lambda: waits(cluster, "later"))
    cluster.delete("jobs", "big", "team-a")
    assert (await waiting).out == "workload later is Running\n"


class Modes:
    """The node agent's side of MIG modes: refuses while a pod uses the GPU."""

    def __init__(self) -> None:
        self.busy = True

    def with_mig(self) -> tuple[str, ...]:
        return ("GPU-node-a-0",)

    def set_dynamic_mig(self, on: bool, gpus: Collection[str] | None = None) -> tuple[ModeChange, ...]:
        if self.busy:
            return (ModeChange("GPU-node-a-0", 0, on, Outcome.REFUSED, "it is in use by team-a/train"),)
        return (ModeChange("GPU-node-a-0", 0, on, Outcome.DONE),)


def own_modes(cluster: FakeCluster) -> Json:
    """The MIG modes that are set for single GPUs of node-a."""
    stored = cluster.get("gpunodes", "node-a")
    assert stored is not None
    modes: Json = stored["spec"]["gpuDynamicMig"]
    return modes


async def test_an_admin_switches_a_nodes_mig_mode_through_the_api_server(
    cluster: FakeCluster, ana: Person, tmp_path: Path
) -> None:
    agent = KubernetesClient(ApiAccess(cluster.server.url, False, lambda: f"Bearer {AGENT}:node-a"))
    modes, gpu_node = Modes(), GpuNodeWriter(agent, "node-a")
    keeper = ModeReconciler(gpu_node, modes, lambda: None)

    async def reconciled() -> None:
        while True:
            await asyncio.to_thread(gpu_node.publish, cluster.agents["node-a"].report(), datetime.now(UTC))
            await asyncio.to_thread(keeper.step)
            await asyncio.sleep(0.02)

    keeping, admin = asyncio.create_task(reconciled()), person(cluster, tmp_path, "admin")
    words = ("node", "set", "node-a", "--dynamic-mig", "on")
    refused = await admin(*words)
    assert (refused.code, "GPU 0: it is in use by team-a/train" in refused.err) == (4, True)
    assert (await admin(*words)).code == 4
    modes.busy = False
    assert (await admin.ok(*words)).out == "Dynamic MIG of node node-a is on\n"
    one = ("node", "set", "node-a", "--gpu", "0", "--dynamic-mig")
    assert (await admin.ok(*one, "off")).out == "Dynamic MIG of GPU node-a/0 is off\n"
    assert own_modes(cluster) == {"GPU-node-a-0": False}
    assert (await admin.ok(*one, "inherit")).out == "GPU node-a/0 follows node node-a: dynamic MIG on\n"
    assert own_modes(cluster) == {}
    modes.busy = True
    refused = await admin(*one, "off")
    assert (refused.code, "GPU 0: it is in use by team-a/train" in refused.err) == (4, True)
    assert own_modes(cluster) == {}
    mine = await ana(*words)
    assert (mine.code, "may not" in mine.err) == (6, True)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    agent.close()


async def test_what_is_not_to_be_moved_says_so_on_its_pods(cluster: FakeCluster, ana: Person) -> None:
    await ana.ok("submit", "stays", "-g", "0.5", "--no-move", *SLEEP)
    await cluster.until(lambda: running(cluster, "stays"))
    assert container(cluster.get("jobs", "stays", "team-a"))
    (pod,) = cluster.pods("team-a")
    assert pod["metadata"]["annotations"]["migctl.dev/movable"] == "false"
    assert "preemptible, never moved" in (await ana.ok("describe", "stays")).out


async def test_a_gpu_model_is_kept_to_and_named(cluster: FakeCluster, ana: Person) -> None:
    await cluster.node("node-b", "l4")
    await cluster.until(lambda: "L4" in str(cluster.get("configmaps", "migctl-catalog", "migctl-system")))
    await ana.ok("submit", "one", "-g", "0.6", "--gpu-model", "l4", *SLEEP)
    await cluster.until(lambda: running(cluster, "one"))
    assert row((await ana.ok("list")).out, "one")[3] == "node-b"
    assert "0.60 GPU of model l4" in (await ana.ok("describe", "one")).out
    await ana.ok("submit", "two", "-g", "0.6", "--gpu-model", "L4", *SLEEP)
    await cluster.until(lambda: waits(cluster, "two"))
    assert "no GPU has 0.6 GPU of model L4 free" in (await ana.ok("why", "two")).out
    refused = await ana("submit", "three", "-g", "0.6", "--gpu-model", "h100", *SLEEP)
    assert (refused.code, "there are L4, V100" in refused.err) == (2, True), refused


async def test_plans_are_kept_applied_and_undone_on_a_cluster(cluster: FakeCluster, tmp_path: Path) -> None:
    """The controller carries them out; whoever may not change plans is refused."""
    await cluster.node("node-b", "v100")
    boss, ana = person(cluster, tmp_path, "admin"), person(cluster, tmp_path)
    await ana.ok("submit", "one", "-g", "0.6", *SLEEP)
    await cluster.until(lambda: running(cluster, "one"))
    await ana.ok("submit", "two", "-g", "0.3", *SLEEP)
    await cluster.until(lambda: running(cluster, "two"))
    await ana.ok("submit", "three", "-g", "0.5", *SLEEP)
    await cluster.until(lambda: running(cluster, "three"))
    await ana.ok("delete", "one")

    def nodes() -> dict[str, str]:
        pods = (pod for pod in cluster.pods("team-a") if pod["status"].get("phase") == "Running")
        return {pod["metadata"]["labels"]["app"]: pod["spec"]["nodeName"] for pod in pods}

    await cluster.until(lambda: set(nodes()) == {"two", "three"})
    before = nodes()
    assert before["two"] != before["three"]
    refused = await ana("plan", "defrag", "--for", "1", "--apply", "--yes")
    assert (refused.code, "may not create" in refused.err) == (6, True), refused
    said = await boss.ok("plan", "defrag", "--for", "1", "--save")
    plan = re.findall(r"kept as (plan-\w+)", said.err)[0]
    assert nodes() == before
    assert "it can be applied" in (await ana.ok("plan", "diff", plan)).err
    refused = await ana("plan", "apply", plan, "--yes")
    assert (refused.code, "may not patch" in refused.err) == (6, True), refused
    assert "applied: 1 workload moving" in (await boss.ok("plan", "apply", plan, "-y")).out
    await cluster.until(lambda: set(nodes()) == {"two", "three"} and len(set(nodes().values())) == 1)
    assert "No difference" in (await ana.ok("plan", "diff", plan)).out
    assert "applied: 1 workload moving" in (await boss.ok("plan", "undo", plan, "-y")).out
    await cluster.until(lambda: nodes() == before)
