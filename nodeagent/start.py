"""Open the agent of this machine: over the real driver, or over simulated GPUs."""

from __future__ import annotations

import ctypes
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from nodeagent.agent import Agent
from nodeagent.contract import environment
from nodeagent.gpu.deadlines import Deadlines
from nodeagent.gpu.events import EventObserver
from nodeagent.nvml import Nvml
from nodeagent.shares.driver_limits import DriverLimits
from nodeagent.shares.host_shares import HostShares
from nodeagent.shares.process_owner import ProcessOwners
from nodeagent.shares.time_slices import ComputePolicy
from nodeagent.shim import libraries


def open_agent(
    node: str,
    state_dir: Path,
    *,
    simulated: Path | None = None,
    observers: Sequence[EventObserver] = (),
    host_processes: bool = False,
    compute: ComputePolicy = ComputePolicy.EVEN,
    host_root: Path = Path("/"),
    deadlines: Deadlines | None = None,
) -> Agent:
    """The agent of `node`, its GPUs recovered.

    simulated  state file of a simulated machine (nodeagent.simulated_nvml.spec.create makes one);
               None: the real driver, or LibraryMissing where there is none
    observers  are called with every event (nodeagent.upkeep.logs and nodeagent.upkeep.metrics have one each)
    host_processes  claims run as processes of this host: on real GPUs the agent itself limits their software shares
    compute         how the time of real GPUs is divided between host processes
    host_root       in a container: where the host's / is mounted, whose driver it is
    deadlines        how long to wait for the driver

    Raises Busy where the driver does not even open, and what Agent raises.
    """
    deadlines = deadlines or Deadlines()
    owners = ProcessOwners(state_dir / "shares", launches=host_processes)
    if simulated is None:
        ours = functools.partial(libraries.ours, gated=compute is not ComputePolicy.EVEN)
        shares = HostShares(state_dir / "shares", ours, compute=compute) if host_processes else None
        loaded = None if host_root == Path("/") else ctypes.CDLL(str(libraries.nvml_of_host(host_root)))
        nvml = deadlines.run(functools.partial(Nvml, loaded), deadlines.change_s)
        limits = DriverLimits(nvml, owners.claim_of, host_processes=host_processes)
        return Agent(
            nvml,
            state_dir,
            node,
            owners=owners,
            observers=observers,
            host_shares=shares,
            driver_limits=limits,
            deadlines=deadlines,
        )
    from nodeagent.simulated_nvml.library import SimulatedNvml

    library = SimulatedNvml(simulated)
    settings = {environment.SIMULATED: str(simulated), environment.PATH_PREFIX: str(_commands(state_dir, simulated))}
    nvml = deadlines.run(functools.partial(Nvml, library), deadlines.change_s)
    limits = DriverLimits(nvml, owners.claim_of, host_processes=host_processes, cgroups=state_dir / "cgroups")
    return Agent(
        nvml,
        state_dir,
        node,
        boot_id=library.boot_id,
        owners=owners,
        settings=settings,
        observers=observers,
        driver_limits=limits,
        deadlines=deadlines,
    )


def _commands(state_dir: Path, simulated: Path) -> Path:
    """A directory with the `nvidia-smi` of simulated GPUs: inside a workload it shows the workload's, else all."""
    directory = state_dir / "bin"
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    script = directory / "nvidia-smi"
    script.write_text(
        f"#!/bin/sh\n: ${{{environment.SIMULATED}:={shlex.quote(str(simulated))}}}\nexport {environment.SIMULATED}\n"
        f'exec {shlex.quote(sys.executable)} -m nodeagent.simulated_nvml.smi "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return directory
