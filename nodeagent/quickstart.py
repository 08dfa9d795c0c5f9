"""The program of a workload without a command: it allocates its share of GPU memory and holds it until SIGTERM.

On simulated GPUs it registers with the simulated driver, on real ones it allocates through libcuda. It imports
little: its start is a part of a workload's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from nodeagent.contract import environment, limits_file
from nodeagent.contract.units import MIB

_CHUNK = 64 * MIB
_CUDA_SUCCESS = 0


class NoGpu(Exception):
    """There is no GPU to allocate on. The text says what is missing."""


def hold_simulated(variables: Mapping[str, str]) -> dict[str, int]:
    """Allocate what the limits allow of each visible simulated device; MiB by UUID."""
    from nodeagent.simulated_nvml import processes
    from nodeagent.simulated_nvml.state import StateFile

    file = variables.get(environment.LIMITS, "")
    limits = limits_file.read(Path(file)) if file else {}
    state = StateFile(Path(variables[environment.SIMULATED]))
    claim = variables.get(environment.CLAIM, "")
    held = {}
    for uuid in filter(None, variables.get(environment.VISIBLE_DEVICES, "").split(",")):
        held[uuid] = processes.hold(state, uuid, limits.get(uuid), claim=claim)
    return held


def hold_real() -> dict[str, int]:
    """Allocate on every visible device, in chunks, until the driver says out of memory."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        raise NoGpu(f"no CUDA driver on this machine: {e}") from e
    count = ctypes.c_int()
    if cuda.cuInit(0) != _CUDA_SUCCESS or cuda.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_SUCCESS:
        raise NoGpu("the CUDA driver does not start; is the GPU visible to this process?")
    return {f"GPU {index}": _fill(cuda, index) for index in range(count.value)}


def _fill(cuda: ctypes.CDLL, index: int) -> int:
    device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    if cuda.cuDeviceGet(ctypes.byref(device), index) != _CUDA_SUCCESS:
        raise NoGpu(f"the CUDA driver does not give device {index}")
    if cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device) != _CUDA_SUCCESS:
        raise NoGpu(f"the CUDA driver creates no context on device {index}")
    chunks = 0
    while cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(_CHUNK)) == _CUDA_SUCCESS:
        chunks += 1
    return chunks * _CHUNK // MIB


def main() -> int:
    """Allocate, print a line per device, wait for SIGTERM or SIGINT."""
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        held = hold_simulated(os.environ) if os.environ.get(environment.SIMULATED) else hold_real()
    except Exception as e:
        print(f"quickstart: {e}", file=sys.stderr)
        return 1
    for uuid, mib in held.items():
        print(f"quickstart: holding {mib} MiB of {uuid} until stopped", flush=True)
    signal.sigwait(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
