"""The only package that calls NVML: its structures as frozen values, its return codes as our errors.

Not here: which instances are ours, and when one is created or destroyed (gpu/).

bindings.py   the only module that imports pynvml
errors.py     the error tree
facts.py      GPUs, instances, processes, readings as frozen values
devices.py    GPUs: identity, models, processes, readings, errors
memory_limits.py  the driver's limits on cgroups' memory
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
