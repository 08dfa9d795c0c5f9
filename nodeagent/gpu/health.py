"""Which errors and readings mean that a GPU is not to be trusted: XID errors, ECC errors, heat.

A hardware error fences its GPU: what runs goes on, nothing new is placed there. An error of a program (a bad
address, an exception) is counted and no more.
"""

from __future__ import annotations

from nodeagent.nvml import Readings

# After these the GPU needs a reset or a repair. Source: NVIDIA, "XID Errors", resolution
# buckets RESET_GPU, RESTART_BM and CONTACT_SUPPORT.
FATAL_XIDS = {
    46: "the GPU stopped processing",
    48: "double bit ECC error",
    62: "internal micro-controller halt",
    64: "a bad memory row could not be recorded",
    74: "NVLink error",
    79: "the GPU has fallen off the bus",
    95: "uncontained memory error",
    119: "GSP does not answer",
    120: "GSP error",
    140: "unrecovered ECC error",
    143: "GPU initialisation failure",
}


def fault_of_xid(xid: int) -> str:
    """Why a GPU for which the driver logged this error is not to be trusted; "" where it is."""
    text = FATAL_XIDS.get(xid)
    return f"XID {xid}, {text}: reset the GPU and restart the agent, or reboot" if text else ""


def fault_of_readings(readings: Readings) -> str:
    """Why a GPU with these readings is not to be trusted; "" where it is."""
    if readings.remap_failed:
        return "a bad memory row could not be replaced: the GPU needs service"
    if readings.ecc_uncorrected:
        return f"{readings.ecc_uncorrected} uncorrected memory errors: reset the GPU or reboot"
    hot, limit = readings.celsius, readings.slowdown_celsius
    if hot is not None and limit is not None and hot >= limit:
        return f"{hot} C, it slows down at {limit} C: look at its cooling"
    return ""
