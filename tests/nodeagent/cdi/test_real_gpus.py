"""Containers on real GPUs: device nodes from a driver's procfs, libraries from nvidia-ctk's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.cdi.driver import RealGpus
from nodeagent.cdi.edits import CdiMount, ContainerEdits, DeviceNode, Hook
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.toolkit import Toolkit
from nodeagent.contract.allocation import Prepared, PreparedDevice, Unsupported
from nodeagent.nvml import GpuInfo, HardwareInstance
from tests.nodeagent.cdi import cdi_specs
from tests.nodeagent.machines import mig, whole

INFO = GpuInfo("GPU-1", 0, 3, "NVIDIA A100-SXM4-40GB", "Ampere", 40960, "00000000:07:00.0")
COMMON = ContainerEdits(
    env=("NVIDIA_VISIBLE_DEVICES=void",), mounts=(CdiMount("/usr/lib/libcuda.so.570", "/usr/lib/libcuda.so.570"),)
)


class Hardware:
    def gpus(self) -> tuple[GpuInfo, ...]:
        return (INFO,)

    def instances(self, gpu_info: GpuInfo) -> tuple[HardwareInstance, ...]:
        return (HardwareInstance(5, "2g.10gb", 2, 2, (0,), "MIG-1"),)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    instance = tmp_path / "driver/nvidia/capabilities/gpu3/mig/gi5"
    (instance / "ci0").mkdir(parents=True)
    (instance / "access").write_text("DeviceFileMinor: 48\nDeviceFileMode: 292\nDeviceFileModify: 1\n")
    (instance / "ci0" / "access").write_text("DeviceFileMinor: 49\nDeviceFileMode: 292\nDeviceFileModify: 1\n")
    devices = "Character devices:\n195 nvidia-frontend\n508 nvidia-uvm\n511 nvidia-caps\n\nBlock devices:\n  8 sd\n"
    (tmp_path / "devices").write_text(devices)
    return tmp_path


def nodes(edits: ContainerEdits) -> dict[str, tuple[int | None, int | None]]:
    assert all(node.type == "c" for node in edits.device_nodes)
    return {node.path: (node.major, node.minor) for node in edits.device_nodes}


CONTROL = {"/dev/nvidiactl": (195, 255), "/dev/nvidia-uvm": (508, 0), "/dev/nvidia-uvm-tools": (508, 1)}


def test_a_mig_instance_is_its_gpu_and_two_capabilities(proc: Path) -> None:
    prepared = Prepared("c", (PreparedDevice("GPU-1", "MIG-1", mig("GPU-1", "2g.10gb", 2)),), {})
    edits = RealGpus(Hardware(), lambda: COMMON, proc).apply(
        prepared, ContainerEdits(env=("NVIDIA_VISIBLE_DEVICES=MIG-1",))
    )
    assert nodes(edits) == CONTROL | {
        "/dev/nvidia3": (195, 3),
        "/dev/nvidia-caps/nvidia-cap48": (511, 48),
        "/dev/nvidia-caps/nvidia-cap49": (511, 49),
    }
    assert edits.env == ("NVIDIA_VISIBLE_DEVICES=void",)
    assert edits.mounts == COMMON.mounts


def test_a_whole_gpu_has_no_capability(proc: Path) -> None:
    prepared = Prepared("c", (PreparedDevice("GPU-1", "GPU-1", whole("GPU-1")),), {})
    edits = RealGpus(Hardware(), lambda: COMMON, proc).apply(
        prepared, ContainerEdits(device_nodes=(DeviceNode("/dev/x", type="c"),))
    )
    assert nodes(edits) == CONTROL | {"/dev/nvidia3": (195, 3), "/dev/x": (None, None)}


EVERYTHING = ContainerEdits(
    device_nodes=(DeviceNode("/dev/null", "/dev/zero", "c", 1, 3, "rw"),),
    mounts=(CdiMount("/etc/hostname", "/run/name", ("ro", "bind"), "bind"),),
    hooks=(Hook("createContainer", "/usr/bin/nvidia-cdi-hook", ("nvidia-cdi-hook", "update-ldcache"), ("A=b",), 5),),
    additional_gids=(7,),
)


@pytest.fixture
def written(proc: Path, tmp_path: Path) -> Path:
    """A folder with the specs of a MIG instance and of a whole GPU, the latter with every kind of edit there is."""
    folder = tmp_path / "cdi"
    instance = Prepared("uid-mig", (PreparedDevice("GPU-1", "MIG-1", mig("GPU-1", "2g.10gb", 2)),), {})
    entire = Prepared("uid-whole", (PreparedDevice("GPU-1", "GPU-1", whole("GPU-1")),), {})
    for prepared, edits in ((instance, ContainerEdits()), (entire, EVERYTHING)):
        SpecFiles(folder).write(prepared.claim, RealGpus(Hardware(), lambda: COMMON, proc).apply(prepared, edits))
    return folder


def test_specs_are_as_published(written: Path) -> None:
    cdi_specs.validate(written)


@pytest.mark.skipif(cdi_specs.COMMAND is None, reason="the Container Device Interface's command cdi is not installed")
def test_the_runtimes_own_library_injects_what_was_meant(written: Path) -> None:
    made = cdi_specs.injected(written, "gpu.migctl.dev/claim=uid-mig")
    assert made["process"]["env"] == ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=void"]
    given = {node["path"]: (node["major"], node["minor"]) for node in made["linux"]["devices"]}
    assert given == CONTROL | {
        "/dev/nvidia3": (195, 3),
        "/dev/nvidia-caps/nvidia-cap48": (511, 48),
        "/dev/nvidia-caps/nvidia-cap49": (511, 49),
    }
    made = cdi_specs.injected(written, "gpu.migctl.dev/claim=uid-whole")
    assert made["hooks"]["createContainer"][0]["args"] == ["nvidia-cdi-hook", "update-ldcache"]
    assert made["process"]["user"]["additionalGids"] == [7]
    assert {"/run/name", COMMON.mounts[0].container_path} == {mount["destination"] for mount in made["mounts"]}


def test_without_the_uvm_module_nothing_is_promised(proc: Path) -> None:
    (proc / "devices").write_text("Character devices:\n195 nvidia-frontend\n")
    with pytest.raises(Unsupported, match="nvidia-modprobe"):
        RealGpus(Hardware(), lambda: COMMON, proc).check()


def tool(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = directory / "nvidia-ctk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_the_tools_common_edits_are_taken_and_its_devices_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = (
        '{"cdiVersion":"0.6.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":'
        '{"deviceNodes":[{"path":"/dev/nvidia0"}]}}],"containerEdits":{"env":["NVIDIA_VISIBLE_DEVICES=void"],'
        '"deviceNodes":[{"path":"/dev/nvidia-modeset"}],"hooks":[{"hookName":"createContainer",'
        '"path":"/usr/bin/nvidia-cdi-hook","args":["nvidia-cdi-hook","update-ldcache"]}]}}'
    )
    tool(tmp_path, f"cat <<'END'\n{printed}\nEND", monkeypatch)
    common = Toolkit().common()
    assert [node.path for node in common.device_nodes] == ["/dev/nvidia-modeset"]
    assert common.hooks[0].args == ("nvidia-cdi-hook", "update-ldcache")


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo 'no driver found' >&2; exit 1", "no driver found"), ("echo no JSON", "must print a CDI specification")],
)
def test_a_tool_that_fails_is_a_refusal_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    tool(tmp_path, script, monkeypatch)
    with pytest.raises(Unsupported, match=why):
        Toolkit().common()


def mounts(path: Path) -> str:
    mount = f'{{"hostPath":"{path}","containerPath":"{path}","options":["ro"]}}'
    spec = f'{{"kind":"nvidia.com/gpu","devices":[],"containerEdits":{{"mounts":[{mount}]}}}}'
    return f"echo '{spec}'; echo x >> {path.parent}/calls"


@pytest.mark.parametrize("change", ["the tool", "the library", "the library is gone"])
def test_after_an_upgrade_of_the_driver_containers_get_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """F1: what the tool said is kept for as long as nothing it was made from is another."""
    old, new = tmp_path / "libcuda.so.570.100", tmp_path / "libcuda.so.580.65"
    old.touch()
    new.touch()
    tool(tmp_path, f"if [ -e {tmp_path}/upgraded ]; then {mounts(new)}; else {mounts(old)}; fi", monkeypatch)
    toolkit = Toolkit()
    for _ in range(3):
        assert [mount.host_path for mount in toolkit.common().mounts] == [str(old)]
    assert (tmp_path / "calls").read_text() == "x\n", "asked once while nothing changes"
    (tmp_path / "upgraded").touch()
    match change:
        case "the tool":
            tool(tmp_path, mounts(new), monkeypatch)
        case "the library":
            old.write_bytes(b"another")
        case _:
            old.unlink()
    assert [mount.host_path for mount in toolkit.common().mounts] == [str(new)]


def test_without_the_tool_the_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="install nvidia-container-toolkit"):
        Toolkit().common()
