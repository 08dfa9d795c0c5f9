"""`nvidia-smi` for simulated GPUs: the familiar table, `-L` and `--query-gpu`, read through pynvml.

Inside a workload it shows what the workload may see: its devices, and on a shared GPU its own
limit as the memory there is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from nodeagent.contract import environment
from nodeagent.contract.units import MIB
from nodeagent.nvml import bindings
from nodeagent.simulated_nvml.hardware import Refused
from nodeagent.simulated_nvml.library import SimulatedNvml
from nodeagent.simulated_nvml.state import DamagedState

_NO_ID = 0xFFFFFFFF
_WIDE = "+" + "-" * 89 + "+"
_THREE = "+" + "-" * 41 + "+" + "-" * 24 + "+" + "-" * 22 + "+"
_MIG = "+" + "-" * 18 + "+" + "-" * 34 + "+" + "-" * 11 + "+" + "-" * 23 + "+"


class Smi:
    """The visible GPUs through pynvml (`nvml`: the module)."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        nvml.nvmlInit()
        self.devices = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]

    def mig_devices(self, device: Any) -> list[Any]:
        """Handles of the MIG devices of a GPU."""
        found = []
        if not self.mig_mode(device):
            return []
        for index in range(self.nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
            try:
                found.append(self.nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index))
            except self.nvml.NVMLError_NotFound:
                break
        return found

    def mig_mode(self, device: Any) -> bool | None:
        """None where the GPU has no MIG."""
        try:
            return bool(self.nvml.nvmlDeviceGetMigMode(device)[0])
        except self.nvml.NVMLError_NotSupported:
            return None

    def versions(self) -> tuple[str, str]:
        """Of the driver and of CUDA."""
        cuda = self.nvml.nvmlSystemGetCudaDriverVersion_v2()
        return self.nvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}"

    def memory(self, device: Any) -> tuple[int, int]:
        """Used and total MiB."""
        memory = self.nvml.nvmlDeviceGetMemoryInfo(device)
        return memory.used // MIB, memory.total // MIB

    def utilization(self, device: Any) -> int | None:
        """Percent; None with MIG on."""
        try:
            return int(self.nvml.nvmlDeviceGetUtilizationRates(device).gpu)
        except self.nvml.NVMLError_NotSupported:
            return None


def table(smi: Smi, now: datetime) -> str:
    """What `nvidia-smi` prints."""
    parts = [now.strftime("%a %b %e %H:%M:%S %Y"), *_head(smi)]
    for index, device in enumerate(smi.devices):
        parts += [*_gpu(smi, index, device), _THREE]
    parts += _mig_table(smi)
    return "\n".join([*parts, "", *_process_table(smi)])


def _head(smi: Smi) -> list[str]:
    driver, cuda = smi.versions()
    return [
        _WIDE,
        f"| NVIDIA-SMI {driver:<23}Driver Version: {driver:<15}CUDA Version: {cuda:<9}|",
        _THREE,
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |",
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |",
        "|                                         |                        |               MIG M. |",
        "|" + _THREE.replace("-", "=")[1:-1] + "|",
    ]


def _gpu(smi: Smi, index: int, device: Any) -> list[str]:
    n = smi.nvml
    used, total = smi.memory(device)
    mode = {None: "N/A", True: "Enabled", False: "Disabled"}[smi.mig_mode(device)]
    usage = smi.utilization(device)
    power, limit = n.nvmlDeviceGetPowerUsage(device) // 1000, n.nvmlDeviceGetEnforcedPowerLimit(device) // 1000
    celsius = n.nvmlDeviceGetTemperature(device, n.NVML_TEMPERATURE_GPU)
    errors = n.nvmlDeviceGetTotalEccErrors(device, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, n.NVML_VOLATILE_ECC)
    watts, memory = f"{power}W / {limit:>4}W", f"{used}MiB / {total:>6}MiB"
    busy = "N/A" if usage is None else f"{usage}%"
    return [
        f"| {index:>3}  {n.nvmlDeviceGetName(device)[:29]:<29}  On  | {n.nvmlDeviceGetPciInfo(device).busId:>18} Off "
        f"| {errors:>20} |",
        f"| N/A {celsius:>4}C    P{n.nvmlDeviceGetPerformanceState(device)}   {watts:>21} | {memory:>22} "
        f"| {busy:>7}      Default |",
        f"|{'':41}|{'':24}| {mode:>20} |",
    ]


def _mig_table(smi: Smi) -> list[str]:
    rows: list[str] = []
    for index, device in enumerate(smi.devices):
        for number, mig in enumerate(smi.mig_devices(device)):
            rows += [*_mig_row(smi, index, number, mig), _MIG]
    if not rows:
        return []
    return [
        "",
        _WIDE,
        f"| {'MIG devices:':<88}|",
        _MIG,
        "| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |",
        "|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |",
        "|                  |                                  |        ECC|                       |",
        "|" + _MIG.replace("-", "=")[1:-1] + "|",
        *rows,
    ]


def _mig_row(smi: Smi, index: int, number: int, mig: Any) -> list[str]:
    n = smi.nvml
    has = n.nvmlDeviceGetAttributes_v2(mig)
    used, total = smi.memory(mig)
    bar1 = n.nvmlDeviceGetBAR1MemoryInfo(mig).bar1Total // MIB
    ids = f"{index:>2} {n.nvmlDeviceGetGpuInstanceId(mig):>4} {n.nvmlDeviceGetComputeInstanceId(mig):>3} {number:>3}"
    shared = (
        f"{has.sharedCopyEngineCount:>2} {has.sharedEncoderCount:>3} {has.sharedDecoderCount:>4} "
        f"{has.sharedOfaCount:>4} {has.sharedJpegCount:>4}"
    )
    return [
        f"| {ids:<16} | {used:>15}MiB / {total:>5}MiB    |{has.multiprocessorCount:>3}{0:>7} | {shared:<21} |",
        f"|{'':18}| {0:>15}MiB / {bar1:>5}MiB    |{'':11}|{'':23}|",
    ]


def _process_table(smi: Smi) -> list[str]:
    rows = []
    for index, device in enumerate(smi.devices):
        for p in smi.nvml.nvmlDeviceGetComputeRunningProcesses(device):
            gi, ci = (("N/A", "N/A") if p.gpuInstanceId == _NO_ID else (p.gpuInstanceId, p.computeInstanceId))[:2]
            rows.append(
                f"| {index:>4} {gi:>4} {ci:>4} {p.pid:>16} {'C':>6}   {_name(smi, p.pid):<33}"
                f"{p.usedGpuMemory // MIB:>8}MiB |"
            )
    return [
        _WIDE,
        f"| {'Processes:':<88}|",
        "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |",
        "|        ID   ID                                                               Usage      |",
        "|" + "=" * 89 + "|",
        *(rows or [f"|  {'No running processes found':<87}|"]),
        _WIDE,
    ]


def _name(smi: Smi, pid: int) -> str:
    try:
        return str(smi.nvml.nvmlSystemGetProcessName(pid))[-32:]
    except smi.nvml.NVMLError:
        return "[Not Found]"


def listing(smi: Smi) -> str:
    """The lines of `nvidia-smi -L`."""
    lines = []
    for index, device in enumerate(smi.devices):
        lines.append(f"GPU {index}: {smi.nvml.nvmlDeviceGetName(device)} (UUID: {smi.nvml.nvmlDeviceGetUUID(device)})")
        for number, mig in enumerate(smi.mig_devices(device)):
            profile = smi.nvml.nvmlDeviceGetName(mig).rpartition(" MIG ")[2]
            lines.append(f"  MIG {profile:<12} Device {number:>2}: (UUID: {smi.nvml.nvmlDeviceGetUUID(mig)})")
    return "\n".join(lines)


# property -> unit in the header of a query and how to read it
_FIELDS: dict[str, tuple[str, Callable[[Smi, int, Any], object]]] = {
    "index": ("", lambda s, i, d: i),
    "name": ("", lambda s, i, d: s.nvml.nvmlDeviceGetName(d)),
    "gpu_name": ("", lambda s, i, d: s.nvml.nvmlDeviceGetName(d)),
    "uuid": ("", lambda s, i, d: s.nvml.nvmlDeviceGetUUID(d)),
    "gpu_uuid": ("", lambda s, i, d: s.nvml.nvmlDeviceGetUUID(d)),
    "driver_version": ("", lambda s, i, d: s.versions()[0]),
    "count": ("", lambda s, i, d: len(s.devices)),
    "pci.bus_id": ("", lambda s, i, d: s.nvml.nvmlDeviceGetPciInfo(d).busId),
    "memory.total": ("MiB", lambda s, i, d: s.memory(d)[1]),
    "memory.used": ("MiB", lambda s, i, d: s.memory(d)[0]),
    "memory.free": ("MiB", lambda s, i, d: s.memory(d)[1] - s.memory(d)[0]),
    "utilization.gpu": ("%", lambda s, i, d: s.utilization(d)),
    "temperature.gpu": ("", lambda s, i, d: s.nvml.nvmlDeviceGetTemperature(d, s.nvml.NVML_TEMPERATURE_GPU)),
    "power.draw": ("W", lambda s, i, d: f"{s.nvml.nvmlDeviceGetPowerUsage(d) / 1000:.2f}"),
    "power.limit": ("W", lambda s, i, d: f"{s.nvml.nvmlDeviceGetEnforcedPowerLimit(d) / 1000:.2f}"),
    "mig.mode.current": ("", lambda s, i, d: {None: "[N/A]", True: "Enabled", False: "Disabled"}[s.mig_mode(d)]),
    "compute_cap": ("", lambda s, i, d: "{}.{}".format(*s.nvml.nvmlDeviceGetCudaComputeCapability(d))),
}


class BadQuery(Exception):
    """A property or format that is not known. The text names those that are."""


def query(smi: Smi, properties: Sequence[str], form: Sequence[str]) -> str:
    """The lines of `--query-gpu`, in CSV with or without header and units."""
    unknown = [p for p in properties if p not in _FIELDS]
    if unknown:
        raise BadQuery(f'Field "{unknown[0]}" is not a valid field to query; known: {", ".join(sorted(_FIELDS))}')
    if "csv" not in form:
        raise BadQuery("--format=csv is the only format; add ,noheader or ,nounits to it")
    units = "nounits" not in form
    lines = [] if "noheader" in form else [", ".join(_header(p, units) for p in properties)]
    for index, device in enumerate(smi.devices):
        lines.append(", ".join(_cell(smi, p, index, device, units) for p in properties))
    return "\n".join(lines)


def _header(name: str, units: bool) -> str:
    unit = _FIELDS[name][0]
    return f"{name} [{unit}]" if unit and units else name


def _cell(smi: Smi, name: str, index: int, device: Any, units: bool) -> str:
    unit, read = _FIELDS[name]
    value = read(smi, index, device)
    if value is None:
        return "[N/A]"
    return f"{value} {unit}" if unit and units else str(value)


def reset(library: SimulatedNvml, index: int | None) -> str:
    """Reset a visible GPU, as an admin would. Raises BadQuery where it cannot be."""
    gpus = library.loaded.gpus()
    if index is None or not 0 <= index < len(gpus):
        raise BadQuery("--gpu-reset needs -i and the index of a GPU")
    try:
        library.loaded.hardware.reset(gpus[index][1]["uuid"])
    except Refused:
        raise BadQuery(f"GPU {index} is in use: stop its processes first") from None
    return f"GPU {index} was successfully reset."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nvidia-smi", description="Simulated GPUs, as nvidia-smi shows them.")
    parser.add_argument("-L", "--list-gpus", action="store_true", help="one line per GPU and MIG device")
    parser.add_argument("--query-gpu", metavar="PROPERTIES", default="", help="comma-separated properties")
    parser.add_argument("--format", metavar="FORMAT", default="", help="csv[,noheader][,nounits]")
    parser.add_argument("--gpu-reset", action="store_true", help="reset a GPU that is not in use; needs -i")
    parser.add_argument("-i", "--id", type=int, metavar="INDEX", help="the GPU to reset")
    chosen = parser.parse_args(arguments)
    path = os.environ.get(environment.SIMULATED, "")
    if not path:
        print("nvidia-smi: no simulated GPUs here: run it inside a workload of simulated GPUs", file=sys.stderr)
        return 9
    try:
        library = SimulatedNvml.for_workload(Path(path), os.environ)
        if chosen.gpu_reset:
            print(reset(library, chosen.id))
        else:
            print(_chosen(Smi(bindings.load(library)), chosen))
    except (DamagedState, BadQuery, OSError) as e:
        print(f"nvidia-smi: {e}", file=sys.stderr)
        return 2
    return 0


def _chosen(smi: Smi, chosen: argparse.Namespace) -> str:
    if chosen.list_gpus:
        return listing(smi)
    if chosen.query_gpu:
        return query(smi, chosen.query_gpu.split(","), chosen.format.split(","))
    return table(smi, datetime.now())


if __name__ == "__main__":
    sys.exit(main())
