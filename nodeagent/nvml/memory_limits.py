"""Memory limits that the driver itself enforces (R615, CUDA 13.4): of a cgroup, on a GPU that is not in MIG mode.

NVIDIA's "MPS v3 memory partitioning": the hard limit is enforced at allocation time, managed memory is not
counted, a limit is removed with its cgroup. Setting one needs root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nodeagent.nvml.devices import Devices
from nodeagent.nvml.errors import NotSupported, NvmlError, checked

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What a cgroup may hold of a GPU, and holds, in bytes. `hard`: None where it is not limited."""

    hard: int | None
    used: int


class MemoryLimits(Devices):
    """NVML with limits on cgroups' GPU memory."""

    def limits_memory(self, gpu: str) -> bool:
        """Whether the driver can limit a cgroup's memory on this GPU."""
        try:
            self.memory_limit(gpu, CGROUPS)
        except NotSupported:
            return False
        except NvmlError:
            return True  # it knows the call: the root cgroup has no limit to return
        return True

    @checked
    def memory_limit(self, gpu: str, cgroup: Path) -> MemoryLimit:
        """A cgroup's limit, by its directory. Raises NotSupported before R615, NvmlNotFound without the directory."""
        n = self._nvml
        limits = n.c_nvmlGetMemoryLimits_v1_t(nameSpace=str(cgroup).encode())
        n.nvmlDeviceGetMemoryLimits_v1(self._device(gpu), limits)
        hard = None if limits.hardLimit == n.NVML_DEVICE_MEMORY_LIMIT_MAX else int(limits.hardLimit)
        return MemoryLimit(hard, int(limits.currentUsed))

    @checked
    def set_memory_limit(self, gpu: str, cgroup: Path, hard: int | None) -> None:
        """Limit what a cgroup may hold of a GPU, in bytes; None clears the limit.

        The soft limit is 0: nothing is promised beyond what neighbours leave.
        """
        n = self._nvml
        most = n.NVML_DEVICE_MEMORY_LIMIT_MAX if hard is None else hard
        wanted = n.c_nvmlSetMemoryLimits_v1_t(nameSpace=str(cgroup).encode(), softLimit=0, hardLimit=most)
        n.nvmlDeviceSetMemoryLimits_v1(self._device(gpu), wanted)
