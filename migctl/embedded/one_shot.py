"""A part of a GPU for one command, without a daemon: `migctl run` preloads the fraction libraries.

folder/lock       held while runs are looked through and one is added
folder/RUN/lock   held by the run and by its command; where it is free and no process has an account, RUN is stale
folder/RUN/lib, accounts   the share, as nodeagent.shim.placing makes it

Runs of one user share the folder and never get more of a GPU than it has. Other users' programs, and those
started without migctl, are seen in what the driver says is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from migctl.backends.protocol import ControlPlaneError
from migctl.embedded.hardware import NoGpus
from nodeagent import untrusted
from nodeagent.contract.units import MIB
from nodeagent.nvml import GpuInfo, LibraryMissing, Nvml, NvmlError
from nodeagent.shares.accounts import ShareAccounts, correct
from nodeagent.shares.host_shares import limit_of
from nodeagent.shim import libraries, limits, placing, region
from nodeagent.shim.libraries import MissingLibraries
from solver.model.cluster import Backing
from solver.model.demand import DeviceShare

CORRECTION_INTERVAL_S = 5.0


class UnsafeFolder(ControlPlaneError):
    """Another user could put libraries of his before this one's programs."""


class NoRoom(ControlPlaneError):
    """No GPU has that much memory left."""


@dataclass(frozen=True)
class ShareRequest:
    """Either a portion of the GPU's memory or MiB; `gpu`: its index or UUID, None for the one with the most left."""

    portion: float | None = None
    mib: int | None = None
    gpu: str | None = None

    def of(self, gpu: GpuInfo) -> int:
        """MiB of this GPU."""
        return self.mib if self.mib is not None else int(round((self.portion or 0) * gpu.memory_mib, 6))


def run(
    request: ShareRequest, command: Sequence[str], environ: Mapping[str, str], report: Callable[[str], None]
) -> int:
    """Run a command in its part of a GPU; its exit code. `report` is called with one line that says what it got.

    Raises NoGpus, NoRoom, UnsafeFolder, or OSError where the command or the folder cannot be had.
    """
    folder = _private_folder(environ)
    try:
        nvml = Nvml()
    except LibraryMissing as error:
        raise NoGpus(
            f"no NVIDIA driver: {error}", "to try migctl without a GPU: migctl up --simulate v100=1"
        ) from error
    try:
        with _share(nvml, request, folder) as share:
            text = f"{share.mib} of {share.gpu.memory_mib} MiB of GPU {share.gpu.index} ({share.gpu.name})"
            report(f"{text}, backing {Backing.SOFTWARE}")
            return _supervise(nvml, share, command, environ)
    except (NvmlError, MissingLibraries) as error:
        raise NoGpus(str(error), "migctl doctor looks for what is missing") from error
    finally:
        nvml.close()


@dataclass(frozen=True)
class _Share:
    gpu: GpuInfo
    mib: int
    folder: Path
    lock: IO[str]


@contextlib.contextmanager
def _share(nvml: Nvml, request: ShareRequest, folder: Path) -> Iterator[_Share]:
    with (folder / "lock").open("w") as all_runs:
        fcntl.flock(all_runs, fcntl.LOCK_EX)
        allocated = _allocated(folder)
        gpu, mib = _choose(nvml, request, allocated)
        mine = Path(tempfile.mkdtemp(dir=folder))
        lock = (mine / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        share = DeviceShare(gpu.uuid, Backing.SOFTWARE, mib / gpu.memory_mib, mib)
        placing.place(
            mine,
            [limit_of(share, gpu, ShareAccounts(mine).context(gpu.uuid))],
            libraries.ours(),
            libraries.drivers(),
        )
    try:
        yield _Share(gpu, mib, mine, lock)
    finally:
        lock.close()
        if _is_over(mine):
            shutil.rmtree(mine, ignore_errors=True)


def _private_folder(environ: Mapping[str, str]) -> Path:
    """The folder of this user's runs. Raises UnsafeFolder."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "migctl-run" if runtime else Path(tempfile.gettempdir()) / f"migctl-run-{os.getuid()}"
    try:
        return untrusted.private_folder(folder)
    except untrusted.Untrusted as error:
        raise UnsafeFolder(
            f"the folder of your runs is not safe: {error}",
            "set XDG_RUNTIME_DIR to a folder that only you can write, for example: "
            "mkdir -m 700 -p ~/.migctl-run && export XDG_RUNTIME_DIR=~/.migctl-run",
        ) from error


def _choose(nvml: Nvml, request: ShareRequest, allocated: Mapping[str, int]) -> tuple[GpuInfo, int]:
    """The GPU and what it gives, in MiB. `allocated`: to other runs, by GPU UUID."""
    candidates = [b for b in nvml.gpus() if request.gpu in (None, str(b.index), b.uuid)]
    if not candidates:
        raise NoGpus(
            f"this machine has no GPU {request.gpu}" if request.gpu else "this machine has no GPU", "nvidia-smi -L"
        )
    free = [b for b in candidates if not ((mode := nvml.mig_mode(b.uuid)) and mode.current)]
    if not free:
        raise NoGpus("every GPU here is in MIG mode, where a fraction is an instance", "migctl up, then migctl submit")
    gpu = max(free, key=lambda b: min(b.memory_mib - allocated.get(b.uuid, 0), _really_free(nvml, b)))
    mib, left = request.of(gpu), gpu.memory_mib - allocated.get(gpu.uuid, 0)
    if mib > left:
        why = f"GPU {gpu.index} has {left} MiB of {gpu.memory_mib} left, {mib} MiB are requested"
        raise NoRoom(why, "wait until another `migctl run` has ended, or request less")
    return gpu, mib


def _really_free(nvml: Nvml, gpu: GpuInfo) -> int:
    return gpu.memory_mib - nvml.readings(gpu.uuid).used_mib


def _allocated(folder: Path) -> dict[str, int]:
    """What running runs hold, in MiB by GPU UUID; removes the folders of ended ones."""
    allocated: dict[str, int] = {}
    for run_folder in [path for path in folder.iterdir() if path.is_dir()]:
        if _is_over(run_folder):
            shutil.rmtree(run_folder, ignore_errors=True)
            continue
        for gpu in limits.read(run_folder / "lib" / limits.FILE_NAME).gpus:
            allocated[gpu.uuid] = allocated.get(gpu.uuid, 0) + gpu.memory // MIB
    return allocated


def _is_over(run_folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError), untrusted.opened(run_folder / "lock", 0) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return not region.holders(placing.accounts(run_folder))
    return not (run_folder / "lib").exists()


def _supervise(nvml: Nvml, share: _Share, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Wait for the command, forward signals to it and correct the size of its contexts; its exit code."""
    found = {**environ, "CUDA_VISIBLE_DEVICES": share.gpu.uuid, **placing.environment(share.folder, environ)}
    process = subprocess.Popen(command, env=found, pass_fds=(share.lock.fileno(),))
    with _passed_on(process):
        while True:
            try:
                code = process.wait(CORRECTION_INTERVAL_S)
                return code if code >= 0 else 128 - code
            except subprocess.TimeoutExpired:
                with contextlib.suppress(NvmlError, OSError, ValueError):
                    _correct(nvml, share)


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward signals to the command; an interrupt reaches it from the terminal itself."""

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _correct(nvml: Nvml, share: _Share) -> None:
    before = region.holders(placing.accounts(share.folder))
    used = {process.pid: process.memory_mib * MIB for process in nvml.processes(share.gpu.uuid)}
    correct(share.folder, share.gpu.uuid, used, before)
