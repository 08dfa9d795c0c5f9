"""`apply -f` and `delete -f` on one machine: the YAML that we print, and Kubernetes workloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from migctl.backends.protocol import Unavailable
from migctl.objects import Project, Workload
from tests.migctl.cli.conftest import Cli, Cluster
from tests.migctl.cli.files.written import CONTAINER, HALF, JOB, POD, changed, stored, typed

VERSION = "migctl.dev/v1alpha1"
TEAM_C: dict[str, Any] = {"apiVersion": VERSION, "kind": "Project", "meta": {"name": "team-c"}, "spec": {"quota": 2}}
SUBMITS = {
    "a fraction": ("submit", "one", "-g", "0.5"),
    "fractions of several": ("submit", "one", "-g", "0.25", "--gpu-devices", "2"),
    "whole GPUs": ("submit", "one", "-g", "2"),
    "memory": ("submit", "one", "--gpu-memory", "5G"),
    "a profile": ("submit", "one", "--mig-profile", "2g.10gb"),
    "a model": ("submit", "one", "-g", "1", "--gpu-model", "v100"),
    "image and command": (
        "submit",
        "one",
        "-g",
        "1",
        "-i",
        "busybox",
        "--command",
        "--",
        "sh",
        "-c",
        "echo $HOME: 'x'",
    ),
    "variables and labels": ("submit", "one", "-g", "1", "-e", "A=1", "-e", "B=2030-01-01", "--label", "team=vision"),
    "pods": ("submit", "one", "-g", "1", "--parallelism", "2", "--completions", "4", "--backoff-limit", "0"),
    "an end": ("submit", "one", "-g", "1", "--ttl-after-finish", "90s"),
    "suspended": ("submit", "one", "-g", "1", "--suspend"),
    "pools": ("submit", "one", "-g", "1", "--node-pools", "default"),
    "interactive": ("submit", "one", "-g", "0.5", "--interactive"),
    "interactive and preemptible": ("submit", "one", "-g", "0.5", "--interactive", "--preemptible"),
    "not moved": ("submit", "one", "-g", "0.5", "--no-move"),
    "another project": ("submit", "one", "-g", "0.5", "-p", "team-b"),
    "inference": ("inference", "submit", "one", "--gpu-portion-request", "0.5"),
    "workspace": ("workspace", "submit", "one", "--gpu-memory-request", "5G"),
}


@pytest.mark.parametrize("words", SUBMITS.values(), ids=SUBMITS.keys())
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_a_dry_run_prints_makes_the_same_workload(
    machine: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], form: str
) -> None:
    at = words.index("--") if "--" in words else len(words)
    printed = machine.ok(*words[:at], "--dry-run", "-o", form, *words[at:]).out
    project = "team-b" if "team-b" in words else "team-a"
    assert typed(machine, monkeypatch, printed, "apply", "-f", "-").out == "workload/one created\n"
    applied = stored(machine, "one", project)
    assert typed(machine, monkeypatch, printed, "apply", "-f", "-").out == "workload/one unchanged\n"
    machine.ok("delete", "one", "-p", project)
    machine.ok(*words)
    submitted = stored(machine, "one", project)
    assert (applied.spec, applied.meta.labels) == (submitted.spec, submitted.meta.labels)


def test_what_a_list_prints_is_taken_too(machine: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.ok("submit", "one", "-g", "0.5")
    machine.ok("submit", "two", "-g", "0.25")
    printed = machine.ok("list", "-o", "yaml").out
    again = typed(machine, monkeypatch, printed, "apply", "-f", "-")
    assert again.code == 0, again
    assert sorted(again.out.splitlines()) == ["workload/one unchanged", "workload/two unchanged"]


def test_what_can_be_changed_is_and_the_rest_is_refused_by_its_field(machine: Cli, write: Any) -> None:
    document = yaml.safe_load(machine.ok("submit", "one", "-g", "0.5", "--dry-run", "-o", "yaml").out)
    file = write(document)
    machine.ok("apply", "-f", file)
    document["spec"]["parallelism"] = 2
    assert machine.ok("apply", "-f", write(document)).out == "workload/one configured\n"
    assert stored(machine, "one").spec.parallelism == 2
    document["spec"]["gpuRequest"]["fraction"] = 0.25
    refused = machine("apply", "-f", write(document))
    assert refused.code == 4
    assert "(Workload one): spec.gpuRequest: cannot be changed after the submission" in refused.err
    assert stored(machine, "one").spec.gpu_request.fraction == 0.5


def test_a_suspended_workload_is_not_resumed_by_a_file_that_says_nothing_of_it(machine: Cli, write: Any) -> None:
    file = write(JOB)
    machine.ok("apply", "-f", file)
    machine.ok("suspend", "train")
    assert machine.ok("apply", "-f", file).out == "workload/train unchanged\n"
    assert stored(machine, "train").spec.suspended


def test_nothing_is_done_where_one_document_is_wrong(machine: Cli, write: Any) -> None:
    good = machine.ok("submit", "one", "-g", "0.5", "--dry-run", "-o", "yaml").out
    bad = good.replace("name: one", "name: two").replace("fraction: 0.5", "fraction: 1.5")
    result = machine("apply", "-f", write(f"{good}---\n{bad}"))
    assert result.code == 2
    assert "w.yaml, document 2 (Workload two): spec.gpuRequest.fraction: 1.5 is not above 0" in result.err
    assert machine.ok("list", "-o", "name").out == ""


def test_a_dry_run_creates_nothing(machine: Cli, write: Any) -> None:
    assert machine.ok("apply", "-f", write(JOB), "--dry-run").out == "workload/train created (dry run)\n"
    assert machine.ok("list", "-o", "name").out == ""


def test_a_project_and_its_workloads_in_one_file_and_deleted_again(machine: Cli, write: Any) -> None:
    project = "apiVersion: migctl.dev/v1alpha1\nkind: Project\nmeta: {name: team-c}\nspec: {quota: 2}\n"
    job = yaml.safe_dump({**JOB, "metadata": {**JOB["metadata"], "namespace": "team-c"}})
    file = write(f"{project}---\n---\n{job}")
    assert machine.ok("apply", "-f", file).out == "project/team-c created\nworkload/train created\n"
    changed = write(f"{project.replace('quota: 2', 'quota: 3')}---\n{job}")
    assert machine.ok("apply", "-f", changed).out == "project/team-c configured\nworkload/train unchanged\n"
    assert machine.do(lambda cluster: cluster.get(Project, "team-c")).spec.quota == 3
    assert machine.ok("delete", "-f", file).out == "workload/train deleted\nproject/team-c deleted\n"
    assert machine("delete", "-f", file).code == 3
    assert machine("delete", "-f", file, "one").code == 2


def test_a_project_that_others_still_need_keeps_what_is_deleted_with_it(machine: Cli, write: Any) -> None:
    file = write(yaml.safe_dump_all([TEAM_C, changed(JOB, "metadata", "namespace", value="team-c")]))
    machine.ok("apply", "-f", file)
    machine.ok("submit", "other", "-g", "0.5", "-p", "team-c")
    refused = machine("delete", "-f", file)
    assert (refused.code, refused.out) == (4, "")
    assert "(Project team-c): project 'team-c' still has 1 workload(s): other" in refused.err
    assert stored(machine, "train", "team-c")


def test_what_is_not_there_can_be_passed_over(machine: Cli, write: Any) -> None:
    two = yaml.safe_dump_all([JOB, changed(JOB, "metadata", "name", value="other")])
    machine.ok("apply", "-f", write(JOB))
    refused = machine("delete", "-f", write(two))
    assert (refused.code, refused.out) == (3, "")
    assert "hint: --ignore-not-found deletes the others" in refused.err
    assert machine.ok("delete", "--ignore-not-found", "-f", write(two)).out == "workload/train deleted\n"
    assert machine.ok("delete", "--ignore-not-found", "-f", write(two)).out == ""
    assert machine("delete", "--ignore-not-found", "train").code == 2


def test_what_others_name_comes_first_and_goes_last(machine: Cli, write: Any) -> None:
    pool = {"apiVersion": VERSION, "kind": "NodePool", "meta": {"name": "big"}, "spec": {"labelKey": "gpu"}}
    department = {"apiVersion": VERSION, "kind": "Department", "meta": {"name": "ml"}, "spec": {"quota": 4}}
    project = {**TEAM_C, "spec": {"quota": 2, "department": "ml", "pools": {"big": {"quota": 1}}}}
    job = changed(JOB, "metadata", "namespace", value="team-c")
    file = write(yaml.safe_dump_all([job, project, pool, department]))
    in_order = ["department/ml", "nodepool/big", "project/team-c", "workload/train"]
    assert machine.ok("apply", "--dry-run", "-f", file).lines == [f"{name} created (dry run)" for name in in_order]
    assert machine.ok("apply", "-f", file).lines == [f"{name} created" for name in in_order]
    assert machine.ok("delete", "-f", file).lines == [f"{name} deleted" for name in reversed(in_order)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"department": "nobody"}, "spec.department: no department is called 'nobody'"),
        ({"pools": {"nowhere": {"quota": 1}}}, "spec.pools: no node pool is called 'nowhere'"),
        ({"quota": -2}, "spec.quota: -2 GPUs: must be between 0 and"),
    ],
)
def test_a_queue_is_admitted_before_anything_is_written(
    machine: Cli, write: Any, changes: dict[str, Any], said: str
) -> None:
    refused = machine("apply", "-f", write(yaml.safe_dump_all([JOB, {**TEAM_C, "spec": changes}])))
    assert (refused.code in (2, 3), said in refused.err, refused.out) == (True, True, ""), refused


def test_what_runs_in_a_project_of_the_same_files_is_admitted_too(machine: Cli, write: Any) -> None:
    bad = changed(JOB, "metadata", "namespace", value="team-c")
    bad["spec"]["parallelism"] = -1
    refused = machine("apply", "-f", write(yaml.safe_dump_all([TEAM_C, bad])))
    assert (refused.code, refused.out) == (2, "")
    assert "team-c" not in machine.ok("project", "list", "-o", "name").out


def test_an_error_on_the_way_says_how_far_it_came(machine: Cli, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane goes away after the first of three."""
    names = [changed(JOB, "metadata", "name", value=name) for name in ("one", "two", "three")]
    create = Cluster.create

    async def once(self: Cluster, obj: Any) -> Any:
        if obj.meta.name != "one":
            raise Unavailable("the control plane does not answer")
        return await create(self, obj)

    monkeypatch.setattr(Cluster, "create", once)
    result = machine("apply", "-f", write(yaml.safe_dump_all(names)))
    assert (result.code, result.out) == (1, "workload/one created\n")
    notes = [line for line in result.err.splitlines() if "w.yaml" not in line]
    assert notes[:2] == [
        "note: 1 of 3 objects were applied before this error",
        "note: not applied: workload/two, workload/three",
    ]


def test_a_folder_is_read_in_order_and_other_files_are_left_alone(machine: Cli, write: Any) -> None:
    second = {**JOB, "metadata": {**JOB["metadata"], "name": "other"}}
    folder = Path(write(second, "2.yml")).parent
    write(JOB, "1.yaml")
    write("no yaml: [", "notes.txt")
    assert machine.ok("apply", "-f", str(folder)).out == "workload/train created\nworkload/other created\n"


def test_a_job_becomes_a_training(machine: Cli, write: Any, tmp_path: Path) -> None:
    result = machine.ok("apply", "-f", write(JOB))
    made = stored(machine, "train")
    assert (made.spec.type, made.spec.parallelism, made.spec.completions, made.spec.backoff_limit) == (
        "training",
        2,
        4,
        1,
    )
    assert (made.spec.command, made.spec.entrypoint, made.spec.environment) == (
        ("sh", "-c", "echo $X"),
        True,
        {"LR": "0.1"},
    )
    assert (made.spec.user, made.spec.directory, made.spec.ttl_after_finish_s) == ("bo", "/srv", 60)
    assert (made.spec.gpu_request.fraction, made.meta.labels["team"]) == (0.5, "vision")
    assert result.err.splitlines() == [
        f"note: {tmp_path}/yaml/w.yaml (Job train): spec.template.spec.containers[0].image: "
        "recorded only: the command runs with this machine's programs"
    ]


def with_annotations(**annotations: str) -> dict[str, Any]:
    return {**POD, "metadata": {"name": "p", "annotations": annotations}}


def of_kind(api: str, kind: str, replicas: int = 1) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "p"}}, "template": HALF}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (POD, ("workspace", False, 100, 6)),
        ({**POD, "spec": {**POD["spec"], "restartPolicy": "Never"}}, ("training", False, 50, 0)),
        ({**POD, "spec": {**POD["spec"], "restartPolicy": "OnFailure"}}, ("training", False, 50, 6)),
        (of_kind("apps/v1", "StatefulSet"), ("workspace", False, 100, 6)),
        (of_kind("apps/v1", "Deployment", 3), ("inference", False, 125, 6)),
        (with_annotations(**{"gpu-fraction": "0.5", "migctl.dev/preemptible": "true"}), ("workspace", True, 75, 6)),
    ],
)
def test_each_kind_becomes_its_type(machine: Cli, write: Any, document: dict[str, Any], wanted: Any) -> None:
    machine.ok("apply", "-f", write(document))
    spec = stored(machine, "p").spec
    assert (spec.type, spec.preemptible, spec.priority, spec.backoff_limit) == wanted
    assert machine.ok("apply", "-f", write(document)).out == "workload/p unchanged\n"


def test_whole_gpus_and_every_annotation(machine: Cli, write: Any) -> None:
    limits = {"nvidia.com/gpu": 1, "cpu": "4"}
    whole = {**POD, "metadata": {"name": "p"}, "spec": {"containers": [{**CONTAINER, "resources": {"limits": limits}}]}}
    result = machine.ok("apply", "-f", write(whole))
    assert stored(machine, "p").spec.gpu_request.devices == 1
    assert "spec.containers[0].resources.limits.cpu: its process is not kept to it" in result.err
    annotations = {
        "gpu-memory": "5G",
        "gpu-fraction-num-devices": "2",
        "migctl.dev/gpu-model": "v100",
        "migctl.dev/node-pools": "default",
        "migctl.dev/movable": "false",
        "example.com/note": "x",
    }
    other = with_annotations(**annotations)
    machine.ok("apply", "-f", write({**other, "metadata": {**other["metadata"], "name": "q"}}))
    spec = stored(machine, "q").spec
    assert (spec.gpu_request.memory_mib, spec.gpu_request.devices, spec.gpu_request.model) == (4769, 2, "v100")
    assert (spec.pools, spec.movable) == (("default",), False)


WORKLOAD = {
    "apiVersion": "migctl.dev/v1alpha1",
    "kind": "Workload",
    "meta": {"name": "w"},
    "spec": {"type": "training", "gpuRequest": {"fraction": 0.5}},
}
HALF_GPU = {"gpu-fraction": "0.5"}
REFUSED: dict[str, tuple[Any, str]] = {
    "no YAML": ("a: [", "w.yaml, line 2: this is no YAML"),
    "a key twice": ("kind: Job\nkind: Pod\n", "the key 'kind' stands twice"),
    "nothing": ("---\n---\n", "there is no document in it"),
    "no kind": ("a: 1\n", "needs apiVersion and kind"),
    "a text": ("just words\n", "needs apiVersion and kind"),
    "an unknown kind": (
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}},
        "there is no CronJob of",
    ),
    "a kind of nobody": ({"kind": "Thing"}, "there is no Thing of no apiVersion"),
    "what we make": ({"apiVersion": "migctl.dev/v1alpha1", "kind": "Claim"}, "is made by migctl itself"),
    "no name": (changed(JOB, "metadata", value={}), "metadata.name: an object needs a name"),
    "an unknown field": (changed(JOB, "spec", "backofLimit", value=1), "spec.backofLimit: there is no such field"),
    "a field that is meant": (changed(JOB, "spec", "backofLimit", value=1), "hint: did you mean backoffLimit?"),
    "two containers": (
        changed(POD, "spec", "containers", value=[CONTAINER, {**CONTAINER, "name": "b"}]),
        "spec.containers: on one machine a pod is one process",
    ),
    "no container": (changed(POD, "spec", "containers", value=[]), "spec.containers: a pod needs a container"),
    "no template": (changed(JOB, "spec", value={}), "spec.template: it is missing"),
    "no list": (changed(POD, "spec", "containers", value="x"), "spec.containers: this is no list"),
    "a wrong type": (changed(JOB, "spec", "parallelism", value="two"), "spec.parallelism: Expected `int | null`"),
    "no GPU": (changed(POD, "metadata", "annotations", value={}), "it asks for no GPU"),
    "a bad fraction": (with_annotations(**{"gpu-fraction": "1.2"}), "gpu-fraction"),
    "two requests": (with_annotations(**{"gpu-fraction": "0.5", "gpu-memory": "5G"}), "exclude each other"),
    "almost a name": (with_annotations(**{"gpu-fractions": "0.5"}), "hint: did you mean gpu-fraction?"),
    "a bad answer": (
        with_annotations(**{"gpu-fraction": "0.5", "migctl.dev/movable": "no"}),
        'must be "true" or "false"',
    ),
    "a bad number": (
        with_annotations(**{"gpu-fraction": "0.5", "migctl.dev/gang-size": "two"}),
        "must be a whole number",
    ),
    "a number as annotation": (
        changed(POD, "metadata", "annotations", value={"gpu-fraction": 0.5}),
        "write it in quotes",
    ),
    "on the Job": (
        changed(JOB, "metadata", "annotations", value={"gpu-fraction": "0.5"}),
        "a request stands in spec.template",
    ),
    "as a label": (
        changed(POD, "metadata", "labels", value={"gpu-fraction": "0.5"}),
        "a request stands in metadata.annot",
    ),
    "an unknown project": (changed(JOB, "metadata", "namespace", value="team-x"), "no project is called 'team-x'"),
    "ours: an unknown field": (changed(WORKLOAD, "spec", "fracton", value=1), "unknown field `fracton`"),
    "ours: beside spec": (
        changed(WORKLOAD, "sepc", value={}),
        "sepc: there is no such field\nhint: did you mean spec?",
    ),
    "ours: no type": (changed(WORKLOAD, "spec", value={"gpuRequest": {}}), "missing required field `type`"),
    "ours: a priority": (
        changed(WORKLOAD, "spec", "priority", value=125),
        "spec.priority: it follows from the type, and is 50",
    ),
    "ours: a wrong word": (changed(WORKLOAD, "spec", "type", value="job"), "spec.type: Invalid enum value 'job'"),
    "twice": (f"{yaml.safe_dump(JOB)}---\n{yaml.safe_dump(JOB)}", "workload/train stands there twice"),
}


@pytest.mark.parametrize(("document", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_meaning_is_refused_in_words(machine: Cli, write: Any, document: Any, said: str) -> None:
    result = machine("apply", "-f", write(document))
    assert result.code in (2, 3), result
    assert said in result.err
    assert "Traceback" not in result.err
    assert machine.ok("list", "-A", "-o", "name").out == ""


def test_files_that_are_not_there_and_words_that_are_missing(machine: Cli, tmp_path: Path) -> None:
    assert machine("apply").code == 2
    missing = machine("apply", "-f", str(tmp_path / "none.yaml"))
    assert (missing.code, "none.yaml: No such file" in missing.err) == (1, True)
    assert machine("apply", "-f", str(tmp_path)).code == 2


def test_p_says_where_and_may_not_contradict(machine: Cli, write: Any) -> None:
    machine.ok("apply", "-f", write(JOB), "-p", "team-b")
    assert stored(machine, "train", "team-b")
    other = changed(JOB, "metadata", "namespace", value="team-a")
    refused = machine("apply", "-f", write(other), "-p", "team-b")
    assert (refused.code, "it says project team-a, and -p says team-b" in refused.err) == (2, True)


def test_what_is_being_deleted_is_not_made_again_yet(machine: Cli, write: Any) -> None:
    async def held(cluster: Cluster) -> None:
        one = await cluster.get(Workload, "train", "team-a")
        kept = await cluster.patch(one, {"meta": {"finalizers": ["x"]}})
        await cluster.delete(replace(kept))

    machine.ok("apply", "-f", write(JOB))
    machine.do(held)
    assert "is being deleted" in machine("apply", "-f", write(JOB)).err
