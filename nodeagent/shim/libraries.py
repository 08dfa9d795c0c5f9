"""Where the libraries are: ours, compiled, and the driver's own on this machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.contract.allocation import Unsupported
from nodeagent.shim.build import BUILT
from nodeagent.shim.limits import FILE_NAME

NVML = "libnvidia-ml.so.1"

# Where drivers are put besides what the loader knows: WSL, NixOS, Google's and other clouds' images.
USUAL_PLACES = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",
    "/usr/lib64-nvidia",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
)


class MissingLibraries(Unsupported):
    """Software fractions cannot be kept here: our libraries or the driver's are not there."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """A pair of files that answer to libcuda.so.1 and libnvidia-ml.so.1."""

    cuda: Path
    nvml: Path


def ours(folder: Path = BUILT, *, gated: bool = False) -> Libraries:
    """Our compiled libraries. `gated`: the pair that can hold launches back, for weights and caps on compute."""
    found = Libraries(folder / ("libcuda-gated.so" if gated else "libcuda.so"), folder / "libnvidia-ml.so")
    for path in (found.cuda, found.nvml):
        if not path.is_file():
            raise MissingLibraries(
                f"software fractions need {path.name}, which this installation lacks: install the wheel, "
                "or run `make shim` in the source tree (needs gcc)"
            )
    return found


def drivers(environment: Mapping[str, str] | None = None) -> Libraries:
    """The driver's libraries as programs on this machine find them, links resolved."""
    folders = list(_folders(os.environ if environment is None else environment))
    cuda, nvml = _first(folders, "libcuda.so.1"), _first(folders, NVML)
    if cuda is None or nvml is None:
        missing = "libcuda.so.1" if cuda is None else NVML
        raise MissingLibraries(f"no {missing} on this machine: is the NVIDIA driver installed? `nvidia-smi` tells")
    return Libraries(cuda, nvml)


def nvml_of_host(root: Path) -> Path:
    """In a container: the driver's NVML below where the host's / is mounted."""
    found = _first((root / folder.lstrip("/") for folder in USUAL_PLACES), NVML)
    if found is None:
        raise MissingLibraries(
            f"no {NVML} below {root}: is the NVIDIA driver installed on the node? `nvidia-smi` tells"
        )
    return found


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where the dynamic loader looks, in its order. A folder of ours, when run inside a share, is not a driver's."""
    listed = environment.get("LD_LIBRARY_PATH", "").split(":")
    for folder in (*filter(None, listed), *_loader_cache(), *USUAL_PLACES):
        if not (Path(folder) / FILE_NAME).exists():
            yield Path(folder)


def _loader_cache() -> Iterator[str]:
    for ldconfig in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        if Path(ldconfig).exists():
            done = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
            listed = re.findall(r"libcuda\.so\.1 \(libc6,(?:x86-64|AArch64)\) => (\S+)", done.stdout)
            yield from (str(Path(path).parent) for path in listed)
            return


def _first(folders: Iterable[Path], name: str) -> Path | None:
    return next(((folder / name).resolve() for folder in folders if (folder / name).is_file()), None)
