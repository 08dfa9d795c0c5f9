"""The library object behind pynvml: `pynvml.nvmlLib = SimulatedNvml(path)`, then nvmlInit.

pynvml looks its functions up by name and passes ctypes references; each call meets its faults
first, works on the state file, and returns an NVML code. Unknown functions are missing, as in
an older driver.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nodeagent.simulated_nvml.calls import device, memory_limits, mig, readings, system
from nodeagent.simulated_nvml.faults import Faults, from_environment
from nodeagent.simulated_nvml.hardware import NvmlReturn, Refused, SimulatedHardware
from nodeagent.simulated_nvml.loaded_library import CALLS, LoadedLibrary, Visibility
from nodeagent.simulated_nvml.state import DamagedState, StateFile

FAMILIES = (system, device, readings, memory_limits, mig)


class SimulatedNvml:
    """A loaded library over the state file at `path`.

    view    what the loading process may see (all of it, unless it is a workload)
    faults  by default those of the environment
    """

    def __init__(
        self,
        path: Path,
        *,
        view: Visibility | None = None,
        faults: Faults | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.faults = Faults(from_environment(os.environ)) if faults is None else faults
        self.loaded = LoadedLibrary(SimulatedHardware(StateFile(path), sleep=sleep), view or Visibility())

    @classmethod
    def for_workload(cls, path: Path, environment: Mapping[str, str]) -> SimulatedNvml:
        """The library as a process with this environment sees it."""
        return cls(path, view=Visibility.of(environment))

    def boot_id(self) -> str:
        """Names the simulated machine's boot."""
        state = self.loaded.hardware.now
        return f"{state['host_boot_id']}-{state['boots']}"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == "nvmlErrorString":
            return lambda code: _error_string(code)
        if name not in CALLS:
            raise AttributeError(name)
        function = partial(self._run, name)
        return lambda *arguments: function(*arguments)

    def _run(self, name: str, *arguments: Any) -> int:
        fault = self.faults.meet(name)
        if fault is not None and not fault.after:
            return fault.error or 0
        try:
            CALLS[name](self.loaded, *arguments)
        except Refused as e:
            return e.code
        except DamagedState:
            return NvmlReturn.UNKNOWN
        return NvmlReturn.SUCCESS if fault is None else fault.error or 0


def _error_string(code: Any) -> bytes:
    number = getattr(code, "value", code)
    name = NvmlReturn(number).name if number in NvmlReturn.__members__.values() else f"code {number}"
    return name.replace("_", " ").capitalize().encode()
