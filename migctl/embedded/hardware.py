"""Which GPUs an embedded control plane serves: simulated ones, or the machine's own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

from migctl.backends.protocol import Conflict, ControlPlaneError, Invalid
from migctl.embedded.home import Home
from nodeagent.agent import Agent
from nodeagent.contract.allocation import Busy
from nodeagent.gpu.events import EventObserver
from nodeagent.journal.journal import DamagedJournal
from nodeagent.journal.locking import HeldByAnother
from nodeagent.nvml import LibraryMissing, NvmlError
from nodeagent.shares.time_slices import ComputePolicy
from nodeagent.simulated_nvml import spec
from nodeagent.simulated_nvml.state import DamagedState, StateFile
from nodeagent.start import open_agent
from nodeagent.upkeep.upkeep import Upkeep
from nodeagent.upkeep.watchdog import WatchdogPolicy

WATCHDOG = "MIGCTL_WATCHDOG"
COMPUTE = "MIGCTL_COMPUTE"
SIMULATED = "a100-40gb=2,v100=1, or on nodes: node-a:v100=2,node-b:a100-40gb=2"

P = TypeVar("P", bound=StrEnum)


class NoGpus(ControlPlaneError):
    """There are no GPUs to serve, or not those of `--simulate`."""


def open_hardware(home: Home, simulate: str | None, observers: Sequence[EventObserver] = ()) -> Agent:
    """The agent over the GPUs that `simulate` describes, over those this home simulates already, or over real ones.

    Raises NoGpus.
    """
    try:
        if simulate is not None:
            _simulate(home, simulate)
        simulated = home.simulated if home.simulated.exists() else None
        if simulated is not None:
            StateFile(simulated).read()  # its error is specific; the driver would report an unknown error
        return open_agent(
            socket.gethostname(),
            home.agent,
            simulated=simulated,
            observers=observers,
            host_processes=True,
            compute=_policy(os.environ, COMPUTE, ComputePolicy.EVEN),
        )
    except LibraryMissing as error:
        hint = f"to try it without one: migctl up --simulate {SIMULATED}"
        raise NoGpus(f"no NVIDIA driver: {error}", hint) from error
    except (NvmlError, Busy) as error:
        hint = "look at nvidia-smi and dmesg; a driver update needs a reboot"
        raise NoGpus(f"the NVIDIA driver does not answer: {error}", hint) from error
    except HeldByAnother as error:
        hint = "another process works on this home: migctl down, or choose another MIGCTL_HOME"
        raise Conflict(str(error), hint) from error
    except (DamagedState, DamagedJournal) as error:
        hint = f"nothing was changed; restore the file, or move {home.path} away for a new start"
        raise NoGpus(str(error), hint) from error


@contextmanager
def upkeep_running(agent: Agent, environ: Mapping[str, str]) -> Iterator[None]:
    """Check the GPUs' health and the shares' limits; MIGCTL_WATCHDOG=stop kills processes over them. Raises NoGpus."""
    upkeep = Upkeep(agent, policy=_policy(environ, WATCHDOG, WatchdogPolicy.REPORT))
    upkeep.start()
    try:
        yield
    finally:
        upkeep.stop()


def _policy(environ: Mapping[str, str], variable: str, default: P) -> P:
    """What a variable of the environment says. Raises NoGpus where it is no policy."""
    known = type(default)
    value = environ.get(variable, default)
    if value not in list(known):
        raise NoGpus(f"{variable}={value} is no policy", f"one of {', '.join(known)}")
    return known(value)


def _simulate(home: Home, described: str) -> None:
    """Make the simulated machine, unless it exists as described."""
    try:
        spec.ensure(home.simulated, described)
    except spec.OtherMachine as error:
        raise Conflict(
            f"{home.path} simulates {error.there} already, with its instances and workloads",
            f"leave --simulate out, choose another MIGCTL_HOME, or remove {home.path} for a new start",
        ) from error
    except spec.BadSpec as error:
        raise Invalid(f"--simulate: {error}", f"for example --simulate {SIMULATED}") from error
