from pathlib import Path

import pytest

from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.spec import BadSpec
from nodeagent.simulated_nvml.state import StateFile


def test_names_options_and_counts() -> None:
    gpus = spec.parse(" a100-40gb=2, V100 ,h100:nomig=1")
    assert [(g.model.id, g.mig) for g in gpus] == [
        ("A100-40GB", True),
        ("A100-40GB", True),
        ("V100", False),
        ("H100-80GB", False),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no GPUs to simulate"),
        ("a100=0", "no number of GPUs"),
        ("a100=", "no number of GPUs"),
        ("a100=two", "'two' is no number of GPUs"),
        ("geforce=1", "no GPU model is called 'geforce'"),
        ("thor-igpu=1", "cannot be simulated"),
        ("a100:mps=1", "unknown option 'mps'"),
        ("v100=65", "too many"),
        ("v100=1,node-a:v100=1", "the first GPU names no node"),
        ("Node_A:v100=1", "neither a GPU model nor a node's name"),
    ],
)
def test_bad_specs_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(BadSpec, match=says):
        spec.parse(text)


def test_gpu_uuids_are_the_same_each_time_and_differ_by_seed(tmp_path: Path) -> None:
    def uuids(seed: str) -> list[str]:
        spec.create(tmp_path / "m.json", "a100-40gb=2", seed=seed)
        return [g["uuid"] for g in StateFile(tmp_path / "m.json").read()["gpus"]]

    assert uuids("n1") == uuids("n1")
    assert not set(uuids("n1")) & set(uuids("n2"))
