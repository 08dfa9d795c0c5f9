"""Read-only checks on a machine with a real NVIDIA GPU: what NVML tells us against `nvidia-smi -q -x`.

Never changes a MIG mode, a clock or an instance. Skipped, and says so, where there is no driver.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nodeagent.nvml import LibraryMissing, Nvml
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.gpu_models import MODEL_FACTS
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.start import open_agent
from solver.model.geometry import Profile


@pytest.fixture(scope="module")
def nvml() -> Iterator[Nvml]:
    try:
        found = Nvml()
    except LibraryMissing as e:
        pytest.skip(f"no NVIDIA GPU here: {e}")
    if shutil.which("nvidia-smi") is None:
        pytest.skip("there is a driver, but no nvidia-smi to compare with")
    yield found
    found.close()


@pytest.fixture
def told(nvml: Nvml) -> list[ElementTree.Element]:
    """What nvidia-smi says of each GPU, in NVML's order."""
    text = subprocess.run(["nvidia-smi", "-q", "-x"], capture_output=True, text=True, check=True, timeout=60).stdout
    return ElementTree.fromstring(text).findall("gpu")


def value(gpu: ElementTree.Element, path: str) -> str:
    found = gpu.findtext(path)
    assert found is not None, f"nvidia-smi -q -x has no {path}"
    return found.strip()


def test_inventory(nvml: Nvml, told: list[ElementTree.Element]) -> None:
    assert [(b.uuid, b.name, b.minor) for b in nvml.gpus()] == [
        (value(g, "uuid"), value(g, "product_name"), int(value(g, "minor_number"))) for g in told
    ]


def test_memory(nvml: Nvml, told: list[ElementTree.Element]) -> None:
    """NVML's plain figure is within what the driver keeps for itself."""
    for gpu_info, gpu in zip(nvml.gpus(), told, strict=True):
        assert gpu_info.memory_mib == pytest.approx(int(value(gpu, "fb_memory_usage/total").split()[0]), abs=2)


def test_mig_mode(nvml: Nvml, told: list[ElementTree.Element]) -> None:
    for gpu_info, gpu in zip(nvml.gpus(), told, strict=True):
        mode = nvml.mig_mode(gpu_info.uuid)
        says = value(gpu, "mig_mode/current_mig")
        assert {None: "N/A", True: "Enabled", False: "Disabled"}[None if mode is None else mode.current] == says


def test_processes(nvml: Nvml, told: list[ElementTree.Element]) -> None:
    for gpu_info, gpu in zip(nvml.gpus(), told, strict=True):
        assert {p.pid for p in nvml.processes(gpu_info.uuid)} == {int(p.text or 0) for p in gpu.findall(".//pid")}


def test_links(nvml: Nvml) -> None:
    gpu_infos = nvml.gpus()
    if len(gpu_infos) < 2:
        pytest.skip("one GPU has none to be linked with")
    told = subprocess.run(["nvidia-smi", "topo", "-p2p", "n"], capture_output=True, text=True, check=True, timeout=60)
    rows = [words for words in map(str.split, told.stdout.splitlines()) if "X" in words and words[0].startswith("GPU")]
    assert len(rows) == len(gpu_infos)
    for one, (name, *row) in zip(gpu_infos, rows, strict=True):
        assert name == f"GPU{one.index}"
        for other, says in zip(gpu_infos, row, strict=True):
            assert one == other or nvml.linked(one.uuid, other.uuid) == (says == "OK")


def test_placements_stay_inside_the_gpu(nvml: Nvml) -> None:
    for gpu_info in nvml.gpus():
        model = nvml.model(gpu_info)
        for profile in model.profiles:
            assert profile.starts
            assert all(start >= 0 and start + profile.size <= model.units for start in profile.starts)
            assert 0 < (profile.memory_mib or 0) <= model.memory_mib


def test_the_simulated_table_is_the_real_one(nvml: Nvml, tmp_path: Path) -> None:
    """Geometry exactly; memory and names may differ by driver and are not compared."""
    known = {gpu_info.name: model for model, gpu_info in MODEL_FACTS.items()}
    gpu_infos = [b for b in nvml.gpus() if b.name in known]
    if not gpu_infos:
        pytest.skip(f"no simulated model is called {nvml.gpus()[0].name}")
    for number, gpu_info in enumerate(gpu_infos):
        path = tmp_path / f"{number}.json"
        spec.create(path, known[gpu_info.name])
        simulated = Nvml(SimulatedNvml(path))
        assert table(simulated.model(simulated.gpus()[0]).profiles) == table(nvml.model(gpu_info).profiles)


def table(profiles: tuple[Profile, ...]) -> dict[int, tuple[int, int, tuple[int, ...], int]]:
    return {p.enum: (p.slices, p.size, p.starts, p.max_count) for p in profiles}


def test_an_agent_reports_what_is_there_and_changes_nothing(nvml: Nvml, tmp_path: Path) -> None:
    before = [nvml.instances(b) for b in nvml.gpus() if (m := nvml.mig_mode(b.uuid)) is not None and m.current]
    agent = open_agent("here", tmp_path / "agent")
    report = agent.report()
    agent.close()
    again = Nvml()
    assert [g.uuid for g in report.gpus] == [b.uuid for b in again.gpus()]
    after = [again.instances(b) for b in again.gpus() if (m := again.mig_mode(b.uuid)) is not None and m.current]
    assert after == before
