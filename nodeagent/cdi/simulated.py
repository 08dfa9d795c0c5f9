"""On simulated GPUs: an `nvidia-smi` that needs nothing but a shell, and shows the claim's devices only.

The container need not have Python: the agent writes what `nvidia-smi` and `nvidia-smi -L` print into a folder
per claim, which is mounted beside a shell script that shows it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

from nodeagent.cdi.edits import READ_ONLY, CdiMount, ContainerEdits
from nodeagent.contract.allocation import Prepared
from nodeagent.journal.durable import replace
from nodeagent.nvml import bindings
from nodeagent.simulated_nvml import smi
from nodeagent.simulated_nvml.library import SimulatedNvml

FOLDER = "/run/migctl/nvidia"
COMMAND = "/bin/nvidia-smi"  # on every PATH; where /bin is a link to usr/bin, there

_SCRIPT = f"""#!/bin/sh
# nvidia-smi of simulated GPUs
case "$*" in
'') exec cat {FOLDER}/table ;;
-L | --list-gpus) exec cat {FOLDER}/list ;;
*) echo "nvidia-smi: on simulated GPUs only nvidia-smi and nvidia-smi -L work in a container" >&2; exit 2 ;;
esac
"""


class SimulatedGpus:
    """Views of the simulated machine at `machine`, a folder per claim below `folder`."""

    def __init__(self, machine: Path, folder: Path) -> None:
        self._machine, self._folder = machine, folder
        self._lock = threading.Lock()

    def check(self) -> None:
        return

    def apply(self, prepared: Prepared, edits: ContainerEdits) -> ContainerEdits:
        folder = self._folder / prepared.claim
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in self._views(prepared.environment).items():
            replace(folder / name, text.encode(), mode=0o644, lasting=False)
        script = folder / "nvidia-smi"
        replace(script, _SCRIPT.encode(), mode=0o755, lasting=False)
        return edits + ContainerEdits(
            mounts=(
                CdiMount(str(folder), FOLDER, READ_ONLY),
                CdiMount(str(script), COMMAND, READ_ONLY),
            )
        )

    def remove(self, claim: str) -> None:
        shutil.rmtree(self._folder / claim, ignore_errors=True)

    def claims(self) -> Collection[str]:
        return {path.name for path in self._folder.glob("*")}

    def _views(self, variables: Mapping[str, str]) -> dict[str, str]:
        with self._lock:
            nvml = bindings.load(SimulatedNvml.for_workload(self._machine, variables))
            try:
                view = smi.Smi(nvml)
                views = {"table": smi.table(view, datetime.now()), "list": smi.listing(view)}
                view.nvml.nvmlShutdown()
            finally:
                bindings.give_back(nvml)
        return {name: text + "\n" for name, text in views.items()}
