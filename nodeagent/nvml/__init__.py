"""The one package that talks to NVML: typed facts in, NVML errors out as our own.

bindings.py   the one place that imports pynvml
errors.py     the error tree
facts.py      what NVML says, as frozen values
devices.py    GPUs: identity, models, processes, readings, errors
memory_limits.py  limits on cgroups' memory, which the driver keeps
instances.py  MIG: mode and instances
"""

from nodeagent.nvml.errors import (
    InsufficientResources,
    InUse,
    LibraryMissing,
    Lost,
    NotPermitted,
    NotSupported,
    NvmlError,
    NvmlNotFound,
    TimedOut,
)
from nodeagent.nvml.facts import GpuInfo, HardwareInstance, MigMode, Process, Readings, XidError
from nodeagent.nvml.instances import Nvml

__all__ = [
    "GpuInfo",
    "HardwareInstance",
    "InUse",
    "InsufficientResources",
    "LibraryMissing",
    "Lost",
    "MigMode",
    "NotPermitted",
    "NotSupported",
    "Nvml",
    "NvmlError",
    "NvmlNotFound",
    "Process",
    "Readings",
    "TimedOut",
    "XidError",
]
