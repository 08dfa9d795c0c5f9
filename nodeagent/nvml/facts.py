"""What NVML returns, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuInfo:
    """What does not change of a GPU.

    bus_id        as the driver writes it: 00000000:07:00.0
    minor         of its device node /dev/nvidiaN
    reserved_mib  the part of `memory_mib` that the driver reserves for itself
    """

    uuid: str
    index: int
    minor: int
    name: str
    architecture: str
    memory_mib: int
    bus_id: str
    reserved_mib: int = 0


@dataclass(frozen=True, slots=True)
class MigMode:
    """The MIG mode, and the one after the next reset."""

    current: bool
    pending: bool


@dataclass(frozen=True, slots=True)
class HardwareInstance:
    """A GPU instance as the driver has it.

    uuid     of its one compute instance that spans it; None where it has none (creation was interrupted)
             or another kind of split (a foreign one)
    compute  ids of its compute instances
    """

    gi: int
    profile: str
    start: int
    size: int
    compute: tuple[int, ...]
    uuid: str | None


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU; `gi` is its GPU instance where MIG is on."""

    pid: int
    memory_mib: int
    gi: int | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What the sensors of a GPU say. None: not available on this GPU or in this mode.

    utilization      of the whole GPU, 0 to 1; None with MIG on
    ecc_uncorrected  uncorrected memory errors since the driver was loaded
    remap_failed     a bad memory row could not be replaced
    recovery         what the driver says the GPU needs after an error, nvmlDeviceGpuRecoveryAction_t; 0: nothing, or
                     the driver is older than 570 and does not say
    """

    used_mib: int
    utilization: float | None
    celsius: int | None
    slowdown_celsius: int | None
    power_w: float | None
    ecc_uncorrected: int | None
    remap_failed: bool
    recovery: int = 0


@dataclass(frozen=True, slots=True)
class XidError:
    """An error that the driver logged for a GPU, by NVIDIA's number."""

    gpu: str
    xid: int
