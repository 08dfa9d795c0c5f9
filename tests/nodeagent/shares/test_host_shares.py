"""Software shares of processes on the host: the fraction libraries before them, or no share at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeagent.agent import Agent
from nodeagent.nvml import GpuInfo, Nvml
from nodeagent.shares.host_shares import HostShares, limit_of
from nodeagent.shim import limits
from nodeagent.shim.libraries import Libraries, MissingLibraries
from tests.nodeagent.machines import NODE, Machine, allocation, mig, part


def pair(folder: Path) -> Libraries:
    folder.mkdir(parents=True)
    for name in ("libcuda.so", "libnvidia-ml.so"):
        (folder / name).write_text(str(folder))
    return Libraries(folder / "libcuda.so", folder / "libnvidia-ml.so")


def agent(machine: Machine, shares: HostShares) -> Agent:
    library = machine.library()
    return Agent(Nvml(library), machine.agent_dir, NODE, boot_id=library.boot_id, host_shares=shares)


@pytest.fixture
def shares(tmp_path: Path) -> HostShares:
    ours, drivers = pair(tmp_path / "ours"), pair(tmp_path / "drivers")
    return HostShares(tmp_path / "shares", lambda: ours, lambda: drivers)


def test_a_share_has_its_libraries_and_limits_first_on_the_loaders_path(
    machine: Machine, shares: HostShares, tmp_path: Path
) -> None:
    running = agent(machine, shares)
    prepared = running.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    folder = Path(prepared.environment["LD_LIBRARY_PATH"].split(":")[0])
    assert (folder / "libcuda.so.1").read_text() == str(tmp_path / "ours")
    (gpu,) = limits.read(folder / limits.FILE_NAME).gpus
    assert (gpu.uuid, gpu.memory, gpu.context, gpu.reserved) == (machine.gpu(1), 8080 << 20, 512 << 20, 0)
    running.unprepare("c1")
    assert list((tmp_path / "shares").iterdir()) == []


def test_a_share_bears_its_part_of_what_the_driver_keeps_for_itself() -> None:
    gpu_info = GpuInfo("GPU-1", 0, 0, "Tesla V100", "Volta", 16160, "00000000:07:00.0", reserved_mib=300)
    assert limit_of(part("GPU-1", 8080), gpu_info, 0).reserved == 150 << 20
    assert limit_of(part("GPU-1", 1), gpu_info, 0).reserved == -(-(300 << 20) // 16160)


def test_a_mig_share_needs_none(machine: Machine, shares: HostShares) -> None:
    prepared = agent(machine, shares).prepare(allocation("c1", mig(machine.gpu(0), "1g.5gb", 0)))
    assert "LD_LIBRARY_PATH" not in prepared.environment


def test_without_the_libraries_a_share_is_refused_and_nothing_held(machine: Machine, tmp_path: Path) -> None:
    def missing() -> Libraries:
        raise MissingLibraries("software fractions need libcuda.so")

    running = agent(machine, HostShares(tmp_path / "shares", missing, missing))
    with pytest.raises(MissingLibraries):
        running.prepare(allocation("c1", part(machine.gpu(1), 8080)))
    assert running.report().held == ()
    running.prepare(allocation("c2", mig(machine.gpu(0), "1g.5gb", 0)))


def test_a_new_start_removes_what_no_claim_holds_and_keeps_the_rest(
    machine: Machine, shares: HostShares, tmp_path: Path
) -> None:
    first = agent(machine, shares)
    first.prepare(allocation("c1", part(machine.gpu(1), 1000)))
    os.mkdir(tmp_path / "shares" / "left-behind")
    first.close()
    agent(machine, shares)
    assert [p.name for p in (tmp_path / "shares").iterdir()] == ["c1"]
