"""Which errors and readings mean that a GPU is not to be trusted: XID errors, ECC errors, heat.

A hardware error fences its GPU: what runs goes on, nothing new is placed there. An error of a program (a bad
address, an exception) is counted and no more.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodeagent.nvml import Readings

_RESET = "reset the GPU and restart the agent, or reboot"
_REBOOT = "reboot the node; if it comes back, the GPU or its slot needs service"
_SERVICE = "look at the GPU's power cables, then reboot"
_SUPPORT = "contact NVIDIA's support; reset the GPU and restart the agent to try it again"

FATAL_XIDS: Mapping[int, tuple[str, str]] = {
    46: ("the GPU stopped processing", _RESET),
    48: ("double bit ECC error", _RESET),
    54: ("auxiliary power is not connected", _SERVICE),
    62: ("internal micro-controller halt", _RESET),
    64: ("a bad memory row could not be recorded", _RESET),
    74: ("NVLink error", _RESET),
    79: ("the GPU has fallen off the bus", _REBOOT),
    95: ("uncontained memory error", _RESET),
    109: ("context switch timeout", _RESET),
    110: ("security fault", _RESET),
    119: ("GSP does not answer", _RESET),
    120: ("GSP error", _RESET),
    136: ("NVLink training failed", _RESET),
    140: ("unrecovered ECC error", _RESET),
    142: ("NVENC error", _SUPPORT),
    143: ("GPU initialisation failure", _RESET),
    151: ("key rotation error", _REBOOT),
    155: ("NVLink went down", _RESET),
    156: ("a part of the GPU is to be retired", _RESET),
    158: ("fatal timeout", _RESET),
}
"""What it means and what to do, by XID: those after which a GPU needs more than a new start of the program.

Source: NVIDIA, "Xid Errors", "Analyzing Xid Errors with the Xid Catalog" (Ampere and newer), column "Resolution Bucket
(Immediate Action)": RESET_GPU, WORKFLOW_XID_48 and WORKFLOW_NVLINK_ERR (a reset), RESTART_BM and RESTART_VM (a reboot),
CHECK_MECHANICALS, and CONTACT_SUPPORT where the code is in use. All others do not fence:

RESTART_APP           8, 11, 13, 25, 31, 32, 39-41, 60, 68-72, 75-77, 80, 82-86, 88, 89, 94, 96-105, 126-135, 139
IGNORE                14, 37, 38, 43, 44, 63, 66, 67, 92, 93, 106-108, 121, 137, 141, 152, 153, 157, 160, 161
WORKFLOW_NVLINK5_ERR  144-150: what is to be done differs by subcodes that NVML's event does not carry
others                45 (WORKFLOW_XID_45), 78 (UPDATE_SWFW), 159 (CHECK_UVM), 154 (says that the recovery action has
                      changed, which is read by itself), and codes that are unused or have no bucket
"""


RECOVERY_ACTIONS: Mapping[int, str] = {
    1: _RESET,
    2: "reboot the node",
    3: "end the work that reaches other GPUs' memory, then reset the GPU and restart the agent",
    4: "end the work on it, then reset the GPU and restart the agent",
    5: "recover the IMEX domain of its NVLink partition",
    6: "reset the GPU's PCIe bus, or reboot the node",
    7: "reboot the node",
}
"""What to do, by nvmlDeviceGpuRecoveryAction_t: NVIDIA's own judgement after every error, XID 154 among them.

Source: nvml.h; NVIDIA, "GPU Memory Error Management", "Error Recovery and Response Flags". It outlives the agent and is
back at 0 when it is done.
"""


def fault_of_xid(xid: int) -> str:
    """Why a GPU for which the driver logged this error is not to be trusted; "" where it is."""
    if xid not in FATAL_XIDS:
        return ""
    meaning, remedy = FATAL_XIDS[xid]
    return f"XID {xid}, {meaning}: {remedy}"


def fault_of_readings(readings: Readings) -> str:
    """Why a GPU with these readings is not to be trusted; "" where it is."""
    if readings.recovery:
        unknown = f"its documentation says what action {readings.recovery} is"
        return f"the driver asks for a recovery: {RECOVERY_ACTIONS.get(readings.recovery, unknown)}"
    if readings.remap_failed:
        return "a bad memory row could not be replaced: the GPU needs service"
    if readings.ecc_uncorrected:
        return f"{readings.ecc_uncorrected} uncorrected memory errors: reset the GPU or reboot"
    hot, limit = readings.celsius, readings.slowdown_celsius
    if hot is not None and limit is not None and hot >= limit:
        return f"{hot} C, it slows down at {limit} C: look at its cooling"
    return ""
