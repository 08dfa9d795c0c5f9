"""The doctor's checks of driver, GPUs, permissions and directories, and all checks together.

Read-only: nothing is created, switched or stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from nodeagent.doctor import node_checks
from nodeagent.doctor.findings import DoctorFinding, ExaminedMachine, Level
from nodeagent.gpu.health import fault_of_readings
from nodeagent.gpu.mig_mode import reset_command
from nodeagent.nvml import GpuInfo, LibraryMissing, Nvml, NvmlError

_CAP_SYS_ADMIN = 1 << 21
_MIG_DRIVER = 525  # profile names come from NVML since then
_CLIENTS = {
    "nv-hostengine": "systemctl stop nvidia-dcgm while MIG mode is switched",
    "dcgm-exporter": "stop it while MIG mode is switched",
    "nvidia-persiste": "systemctl stop nvidia-persistenced while MIG mode is switched",
    "Xorg": "stop the display server, or keep it off this GPU",
    "X": "stop the display server, or keep it off this GPU",
}


def examine(machine: ExaminedMachine) -> tuple[DoctorFinding, ...]:
    """Every finding, in an order to read them in."""
    return (*_driver(machine), *_clients(machine), *_directories(machine), *node_checks.findings(machine.root))


def _driver(machine: ExaminedMachine) -> Iterator[DoctorFinding]:
    try:
        nvml = machine.open_nvml()
    except LibraryMissing as e:
        fix = "install NVIDIA's driver, or try migctl up --simulate a100-40gb=2,v100=1"
        yield DoctorFinding("driver", Level.ERROR, f"no NVIDIA driver: {e}", fix)
        return
    except NvmlError as e:
        yield DoctorFinding(
            "driver", Level.ERROR, f"the driver does not answer: {e}", "look at dmesg; reboot after an update"
        )
        return
    try:
        yield from _gpus(machine, nvml)
    except NvmlError as e:
        yield DoctorFinding("driver", Level.ERROR, f"the driver does not answer: {e}", "look at nvidia-smi and dmesg")
    finally:
        nvml.close()


def _gpus(machine: ExaminedMachine, nvml: Nvml) -> Iterator[DoctorFinding]:
    version = nvml.driver_version()
    infos = nvml.gpus()
    suffix = " (simulated)" if machine.simulated else ""
    yield DoctorFinding("driver", Level.OK, f"driver {version}{suffix}, {len(infos)} GPUs")
    has_mig = False
    for info in infos:
        mode = nvml.mig_mode(info.uuid)
        has_mig = has_mig or mode is not None
        yield _mode(machine, nvml, info)
        fault = fault_of_readings(nvml.readings(info.uuid))
        if fault:
            yield DoctorFinding(
                machine.gpu_name(info.index), Level.ERROR, fault, "nothing new is placed on it until then"
            )
        if not machine.simulated:
            yield from _nodes(machine, info)
    if has_mig and int(version.split(".")[0]) < _MIG_DRIVER:
        yield DoctorFinding(
            "driver", Level.WARNING, f"driver {version} does not name MIG profiles", "update to 525 or newer"
        )
    if has_mig and not machine.simulated and not _may_administrate(machine):
        text = "this user cannot make MIG instances (no CAP_SYS_ADMIN)"
        yield DoctorFinding("permissions", Level.WARNING, text, "run migctl up as root, or give it CAP_SYS_ADMIN")


def _mode(machine: ExaminedMachine, nvml: Nvml, info: GpuInfo) -> DoctorFinding:
    check, mode = machine.gpu_name(info.index), nvml.mig_mode(info.uuid)
    if mode is None:
        return DoctorFinding(check, Level.OK, f"{info.name}, no MIG: fractions are software shares")
    if mode.current != mode.pending:
        pending = "on" if mode.pending else "off"
        fix = reset_command(info, machine.state_dir / "bin" / "nvidia-smi" if machine.simulated else None)
        return DoctorFinding(check, Level.WARNING, f"{info.name}, MIG mode {pending} is pending", fix)
    if not mode.current:
        text = f"{info.name}, MIG mode is off: fractions are software shares"
        node = " ".join(machine.nodes[info.index : info.index + 1])
        fix = " ".join(filter(None, ("migctl node set", node, "--dynamic-mig on, when nobody uses it")))
        return DoctorFinding(check, Level.NOTE, text, fix)
    return DoctorFinding(check, Level.OK, f"{info.name}, MIG mode is on")


def _nodes(machine: ExaminedMachine, info: GpuInfo) -> Iterator[DoctorFinding]:
    for name in (f"nvidia{info.minor}", "nvidiactl", "nvidia-uvm"):
        path = machine.root / "dev" / name
        if not path.exists():
            yield DoctorFinding(f"gpu {info.index}", Level.WARNING, f"{path} is missing", "nvidia-modprobe -u -c=0")
        elif not os.access(path, os.R_OK | os.W_OK):
            fix = "run as root, or join the group that owns it"
            yield DoctorFinding("permissions", Level.WARNING, f"{path} cannot be opened by this user", fix)


def _may_administrate(machine: ExaminedMachine) -> bool:
    status = (machine.root / "proc/self/status").read_text(encoding="utf-8")
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) & _CAP_SYS_ADMIN)


def _clients(machine: ExaminedMachine) -> Iterator[DoctorFinding]:
    """Programs that have a GPU open and are known to block a switch of MIG mode."""
    if machine.simulated:
        return
    for process in sorted((machine.root / "proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        try:
            name = (process / "comm").read_text(encoding="utf-8").strip()
            links = [os.readlink(link) for link in (process / "fd").iterdir()] if name in _CLIENTS else []
        except OSError:
            continue
        if any(link.startswith("/dev/nvidia") for link in links):
            text = f"{name} (process {process.name}) keeps a GPU open and blocks switching MIG mode"
            yield DoctorFinding("clients", Level.NOTE, text, _CLIENTS[name])


def _directories(machine: ExaminedMachine) -> Iterator[DoctorFinding]:
    path = machine.state_dir
    if not path.exists():
        return
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        yield DoctorFinding("state", Level.ERROR, f"{path} is open to others ({mode:o})", f"chmod 700 {path}")
    elif not os.access(path, os.W_OK):
        yield DoctorFinding("state", Level.ERROR, f"{path} cannot be written", f"chown it to {os.geteuid()}")
    else:
        yield DoctorFinding("state", Level.OK, f"{path} is this user's own")
