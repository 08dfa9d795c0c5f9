"""Puts the libraries before a workload: a folder that the dynamic loader searches first, or mounts of a container.

lib/        libcuda.so.1, libnvidia-ml.so.1       ours, copied: a newer migctl must not change a running workload
            migctl-driver-{cuda,nvml}.so.1        links to the driver's
            migctl.limits                         what the workload may use
accounts/   region                                who of its processes holds how much; a container has this file alone,
                                                  and can put nothing else there
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypedDict

from nodeagent.shim import limits, region
from nodeagent.shim.build import DRIVER_CUDA, DRIVER_NVML
from nodeagent.shim.libraries import Libraries, MissingLibraries
from nodeagent.shim.limits import GpuLimit, Limits

CONTAINER_ACCOUNTS = PurePosixPath("/run/migctl/accounts")

_CUDA, _NVML = "libcuda.so.1", "libnvidia-ml.so.1"
_VERSIONED = {_CUDA: re.compile(r"libcuda\.so\.[\d.]+"), _NVML: re.compile(r"libnvidia-ml\.so\.[\d.]+")}
_DRIVER = {_CUDA: DRIVER_CUDA, _NVML: DRIVER_NVML}


class BindMount(TypedDict):
    """A bind mount, as the Container Device Interface writes it."""

    hostPath: str
    containerPath: str
    options: list[str]


def accounts(folder: Path) -> Path:
    """The region of the workload whose folder this is."""
    return folder / "accounts" / "region"


def place(
    folder: Path, gpus: Sequence[GpuLimit], ours: Libraries, drivers: Libraries, *, container: bool = False
) -> None:
    """Make a workload's folder, whole or not at all; repeating it changes nothing. OSError: disk.

    container  its processes see the accounts at CONTAINER_ACCOUNTS and may have any user id
    """
    seen = Path(CONTAINER_ACCOUNTS / "region") if container else accounts(folder)
    share = Limits(seen, tuple(gpus))
    accounts(folder).parent.mkdir(parents=True, exist_ok=True)
    region.ensure(accounts(folder), share, mode=0o666 if container else 0o600)
    if (folder / "lib").exists():
        return
    beside = folder / f".lib.{os.getpid()}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o755)
    for soname, own, driver in ((_CUDA, ours.cuda, drivers.cuda), (_NVML, ours.nvml, drivers.nvml)):
        shutil.copyfile(own, beside / soname)
        (beside / soname.removesuffix(".1")).symlink_to(soname)
        (beside / _DRIVER[soname]).symlink_to(driver)
    (beside / limits.FILE_NAME).write_text(share.text())
    beside.rename(folder / "lib")


def environment(folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a process needs to find the folder first, given the environment that it would have."""
    searched = [str(folder / "lib"), *filter(None, inherited.get("LD_LIBRARY_PATH", "").split(":"))]
    return {"LD_LIBRARY_PATH": ":".join(searched)}


def container_mounts(folder: Path, mounts: Iterable[BindMount]) -> list[BindMount]:
    """The mounts of a container with a GPU's driver, changed so that the folder's libraries take the driver's place.

    The driver's library moves to its other name in the same directory, where ours looks for it; ours and the limits
    are read-only. MissingLibraries: the mounts bring no libcuda or libnvidia-ml to stand in front of.
    """
    found = list(mounts)
    changed = [after for mount in found for after in _stand_in_front(folder, mount)]
    missing = {_CUDA, _NVML} - {_soname(mount) for mount in found}
    if missing:
        raise MissingLibraries(f"the container has no {' and no '.join(sorted(missing))}: cannot bound its GPU memory")
    directories = {str(PurePosixPath(m["containerPath"]).parent): m["options"] for m in found if _soname(m)}
    for directory, options in directories.items():
        changed.append(_mount(folder / "lib" / limits.FILE_NAME, f"{directory}/{limits.FILE_NAME}", options))
    writable = ["rw", "nosuid", "nodev", "noexec", "bind"]
    return [*changed, _mount(accounts(folder), str(CONTAINER_ACCOUNTS / "region"), writable)]


def _stand_in_front(folder: Path, mount: BindMount) -> Iterator[BindMount]:
    soname = _soname(mount)
    if soname is None:
        yield mount
        return
    directory = PurePosixPath(mount["containerPath"]).parent
    yield _mount(Path(mount["hostPath"]), str(directory / _DRIVER[soname]), mount["options"])
    yield _mount(folder / "lib" / soname, mount["containerPath"], mount["options"])


def _soname(mount: BindMount) -> str | None:
    name = PurePosixPath(mount["containerPath"]).name
    return next((soname for soname, pattern in _VERSIONED.items() if pattern.fullmatch(name)), None)


def _mount(host: Path, container: str, options: list[str]) -> BindMount:
    return BindMount(hostPath=str(host), containerPath=container, options=list(options))
