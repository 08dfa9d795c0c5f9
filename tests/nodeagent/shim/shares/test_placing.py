"""The Python side: the limits file, the region, the folder before a workload, the driver's libraries."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.shim import build, libraries, limits, placing, region
from nodeagent.shim.libraries import Libraries, MissingLibraries
from nodeagent.shim.limits import GpuLimit, Limits
from nodeagent.shim.placing import BindMount
from tests.nodeagent.shim.harness.machine import GIB, MIB, OUT_OF_MEMORY, SUCCESS, Machine, Share, gpu_uuid

ROWS = st.lists(
    st.builds(GpuLimit, st.integers(0, 50).map(gpu_uuid), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    min_size=1,
    max_size=16,
    unique_by=lambda row: row.uuid,
)
REGION = Path("/run/migctl/claims/x/region")


@given(rows=ROWS)
def test_limits_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, rows: list[GpuLimit]) -> None:
    told = Limits(REGION, tuple(rows))
    path = tmp_path_factory.mktemp("limits") / limits.FILE_NAME
    path.write_text(told.text())
    assert limits.read(path) == told


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        (Path("relative"), [GpuLimit(gpu_uuid(0), 1, 1)]),
        (Path("/two\nlines"), [GpuLimit(gpu_uuid(0), 1, 1)]),
        (Path("/" + "x" * 1023), [GpuLimit(gpu_uuid(0), 1, 1)]),
        (REGION, []),
        (REGION, [GpuLimit(gpu_uuid(0), 1, 1)] * 2),
        (REGION, [GpuLimit(gpu_uuid(n), 1, 1) for n in range(17)]),
        (REGION, [GpuLimit("MIG-1", 1, 1)]),
        (REGION, [GpuLimit(gpu_uuid(0), -1, 1)]),
        (REGION, [GpuLimit(gpu_uuid(0), 1, 2**63)]),
    ],
)
def test_limits_that_the_library_would_refuse_cannot_be_made(path: Path, rows: list[GpuLimit]) -> None:
    with pytest.raises(ValueError, match=r"region's path|different GPUs|not a GPU's limits"):
        Limits(path, tuple(rows))


def test_a_damaged_limits_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / limits.FILE_NAME
    path.write_text(Limits(REGION, (GpuLimit(gpu_uuid(0), 1, 1),)).text() + "more\n")
    with pytest.raises(ValueError, match="damaged"):
        limits.read(path)


def test_holders_are_the_live_processes_and_what_they_hold(share: Share) -> None:
    with share.cuda() as first, share.cuda() as second, share.cuda() as gone:
        first.ok("cuMemAlloc_v2", "out", MIB)
        gone.ok("cuMemAlloc_v2", "out", MIB)
        gone.end()
        namespace = os.stat("/proc/self/ns/pid").st_ino
        held = {holder.pid: holder for holder in region.holders(share.region)}
        assert set(held) == {first.process.pid, second.process.pid}
        assert held[first.process.pid].gpus == {gpu_uuid(0): region.ProcessUsage(MIB, 1)}
        assert held[first.process.pid].pid_namespace == namespace


def test_a_corrected_context_size_counts_at_once(share: Share) -> None:
    with share.cuda() as program:
        region.set_context(share.region, gpu_uuid(0), 100 * MIB)
        assert program.call("cuMemAlloc_v2", "out", GIB - 100 * MIB + 1) != 0
        program.ok("cuMemAlloc_v2", "out", GIB - 100 * MIB)
        region.set_context(share.region, gpu_uuid(0), 0)
        program.ok("cuMemAlloc_v2", "out", 100 * MIB)


def test_an_unknown_gpu_has_no_word_to_set(share: Share) -> None:
    with pytest.raises(ValueError, match="not in list"):
        region.set_context(share.region, gpu_uuid(5), 1)


def test_what_is_no_region_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "region"
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="not a region"):
        region.holders(path)


def test_placing_again_disturbs_nobody(machine: Machine, ours: Libraries) -> None:
    share = machine.share("share", ours, GIB)
    with share.cuda() as program:
        program.ok("cuMemAlloc_v2", "out", MIB)
        before = [(path, path.stat().st_ino) for path in sorted(share.folder.rglob("*"))]
        machine.share("share", ours, GIB)
        assert [(path, path.stat().st_ino) for path in sorted(share.folder.rglob("*"))] == before
        assert len(region.holders(share.region)) == 1


def test_a_region_for_other_gpus_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "region"
    for number in (0, 1):
        region.ensure(path, Limits(path, (GpuLimit(gpu_uuid(number), 1, 1),)), mode=0o666)
        region.set_context(path, gpu_uuid(number), 1)
    assert path.stat().st_mode & 0o777 == 0o666
    assert path.stat().st_size == region.SIZE
    assert path.stat().st_blocks * 512 >= region.SIZE
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_comes_first_in_the_search_path(tmp_path: Path) -> None:
    own = str(tmp_path / "lib")
    assert placing.environment(tmp_path, {}) == {"LD_LIBRARY_PATH": own}
    assert placing.environment(tmp_path, {"LD_LIBRARY_PATH": "/a::/b"}) == {"LD_LIBRARY_PATH": f"{own}:/a:/b"}


def test_the_driver_is_found_where_programs_find_it(machine: Machine) -> None:
    native = machine.beside().libraries
    assert libraries.drivers({"LD_LIBRARY_PATH": f"/nowhere:{native}"}) == machine.drivers


def test_inside_a_share_the_driver_is_not_taken_for_ours(share: Share, machine: Machine) -> None:
    found = libraries.drivers({"LD_LIBRARY_PATH": f"{share.libraries}:{machine.beside().libraries}"})
    assert found == machine.drivers


def test_in_a_container_the_driver_is_the_hosts(tmp_path: Path) -> None:
    place = tmp_path / "usr" / "lib64"
    place.mkdir(parents=True)
    (place / "libnvidia-ml.so.580.1").touch()
    with pytest.raises(MissingLibraries, match=f"below {tmp_path}: is the NVIDIA driver installed on the node"):
        libraries.nvml_of_host(tmp_path)
    (place / "libnvidia-ml.so.1").symlink_to("libnvidia-ml.so.580.1")
    assert libraries.nvml_of_host(tmp_path) == place / "libnvidia-ml.so.580.1"


def test_no_driver_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_folders", lambda environment: iter(()))
    with pytest.raises(MissingLibraries, match=r"no libcuda\.so\.1 on this machine"):
        libraries.drivers({})


def test_an_installation_without_the_libraries_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MissingLibraries, match="make shim"):
        libraries.ours(tmp_path)


def test_a_missing_or_failing_compiler_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CC", "false")
    assert build.main([str(tmp_path)]) == 1
    assert "false failed" in capsys.readouterr().err
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main([str(tmp_path)]) == 1
    assert "no C compiler found" in capsys.readouterr().err


LIB = "/usr/lib/x86_64-linux-gnu"
READ_ONLY = ["ro", "nosuid", "nodev", "bind"]


def mount(host: str, container: str) -> BindMount:
    return BindMount(hostPath=host, containerPath=container, options=READ_ONLY)


DRIVER_MOUNTS = [
    mount("/drv/libcuda.so.580.1", f"{LIB}/libcuda.so.580.1"),
    mount("/drv/libnvidia-ml.so.580.1", f"{LIB}/libnvidia-ml.so.580.1"),
    mount("/drv/libcudadebugger.so.580.1", f"{LIB}/libcudadebugger.so.580.1"),
]


def test_a_containers_driver_moves_behind_ours() -> None:
    folder = Path("/state/claim")
    assert placing.container_mounts(folder, DRIVER_MOUNTS) == [
        mount("/drv/libcuda.so.580.1", f"{LIB}/migctl-driver-cuda.so.1"),
        mount("/state/claim/lib/libcuda.so.1", f"{LIB}/libcuda.so.580.1"),
        mount("/drv/libnvidia-ml.so.580.1", f"{LIB}/migctl-driver-nvml.so.1"),
        mount("/state/claim/lib/libnvidia-ml.so.1", f"{LIB}/libnvidia-ml.so.580.1"),
        DRIVER_MOUNTS[2],
        mount("/state/claim/lib/migctl.limits", f"{LIB}/migctl.limits"),
        {
            "hostPath": "/state/claim/accounts/region",
            "containerPath": "/run/migctl/accounts/region",
            "options": ["rw", "nosuid", "nodev", "noexec", "bind"],
        },
    ]


@pytest.mark.parametrize("kept", [0, 1])
def test_a_container_without_the_driver_cannot_be_bounded(kept: int) -> None:
    with pytest.raises(MissingLibraries, match="cannot bound"):
        placing.container_mounts(Path("/state/claim"), [DRIVER_MOUNTS[kept], DRIVER_MOUNTS[2]])


def test_a_container_as_mounted_is_bounded(machine: Machine, ours: Libraries, tmp_path: Path) -> None:
    """The mounts, carried out in a root of our own: the library finds the driver, its limits and its accounts."""
    folder, root = machine.folder / "claim", tmp_path / "root"
    placing.place(folder, [GpuLimit(gpu_uuid(0), GIB, 0)], ours, machine.drivers, container=True)
    told = limits.read(folder / "lib" / limits.FILE_NAME)
    assert told.region == Path("/run/migctl/accounts/region")
    assert placing.accounts(folder).stat().st_mode & 0o777 == 0o666
    given = [mount(str(path), f"/lib/{path.name}") for path in (machine.drivers.cuda, machine.drivers.nvml)]
    for one in placing.container_mounts(folder, given):
        target = root / one["containerPath"].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if one["containerPath"].startswith("/lib/") and "driver" not in target.name:
            shutil.copyfile(one["hostPath"], target)  # a bind mount has the path that it is mounted at
        else:
            target.symlink_to(one["hostPath"])
    (root / "lib" / "libcuda.so.1").symlink_to("libcuda.so.999")
    bound = (root / "lib" / limits.FILE_NAME).read_text()
    (root / "lib" / limits.FILE_NAME).write_text(bound.replace("/run/", f"{root}/run/"))
    with Share(folder, root / "lib").cuda() as program:
        assert program.call("cuMemAlloc_v2", "out", GIB + 1) == OUT_OF_MEMORY
        assert program.call("cuMemAlloc_v2", "out", GIB) == SUCCESS
        assert len(region.holders(placing.accounts(folder))) == 1
