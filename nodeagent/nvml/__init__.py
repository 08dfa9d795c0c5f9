"""The one package that talks to NVML: typed facts in, NVML errors out as our own.

bindings.py   the one place that imports pynvml
errors.py     the error tree
facts.py      what NVML says, as frozen values
devices.py    GPUs: identity, models, processes, readings, errors
memory_limits.py  limits on cgroups' memory, which the driver keeps
instances.py  MIG: mode and instances
"""

from nodeagent.nvml.errors import (
    InUse,
    LibraryMissing,
    Lost,
    NoRoom,
    NotFound,
    NotPermitted,
    NotSupported,
    NvmlError,
    TimedOut,
)
from nodeagent.nvml.facts import Board, HardwareInstance, MigMode, Process, Readings, XidError
from nodeagent.nvml.instances import Nvml

__all__ = [
    "Board",
    "HardwareInstance",
    "InUse",
    "LibraryMissing",
    "Lost",
    "MigMode",
    "NoRoom",
    "NotFound",
    "NotPermitted",
    "NotSupported",
    "Nvml",
    "NvmlError",
    "Process",
    "Readings",
    "TimedOut",
    "XidError",
]
