"""A GPU's health: errors the driver logs (XID), memory errors (ECC), heat.

A hardware error fences its GPU: what runs goes on, nothing new is placed there. An error of a
program (a bad address, an exception) is counted and no more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from nodeagent.nvml import Nvml, NvmlError, Readings

_WAIT_S = 1.0
_AGAIN_S = 10.0
_END_S = 10.0

# After these the board needs a reset or a repair. Source: NVIDIA, "XID Errors", resolution
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
    """Why a GPU that logged this error is not to be trusted ("" where it is)."""
    text = FATAL_XIDS.get(xid)
    return f"XID {xid}, {text}: reset the GPU and restart the agent, or reboot" if text else ""


def fault_of_readings(readings: Readings) -> str:
    """Why a GPU with these readings is not to be trusted ("" where it is)."""
    if readings.remap_failed:
        return "a bad memory row could not be replaced: the board needs service"
    if readings.ecc_uncorrected:
        return f"{readings.ecc_uncorrected} uncorrected memory errors: reset the GPU or reboot"
    hot, limit = readings.celsius, readings.slowdown_celsius
    if hot is not None and limit is not None and hot >= limit:
        return f"{hot} C, it slows down at {limit} C: look at its cooling"
    return ""


class ErrorWatch:
    """A thread that hears of the GPUs' XID errors as they come. `heard` is called with GPU UUID and number."""

    def __init__(self, nvml: Nvml, gpus: Sequence[str], heard: Callable[[str, int], None]) -> None:
        self._nvml, self._gpus, self._heard = nvml, gpus, heard
        self._watch: object | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xid-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def look(self, seconds: float) -> None:
        """Wait so long for an error. Raises NvmlError; then the watch begins anew."""
        try:
            if self._watch is None:
                self._watch = self._nvml.watch_errors(self._gpus)
            error = self._nvml.next_error(self._watch, seconds)
        except NvmlError:
            self.end()
            raise
        if error is not None:
            self._heard(error.gpu, error.xid)

    def end(self) -> None:
        """Watch no more."""
        watch, self._watch = self._watch, None
        if watch is not None:
            with contextlib.suppress(NvmlError):
                self._nvml.end_watch(watch)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look(_WAIT_S)
            except NvmlError:
                self._stop.wait(_AGAIN_S)
        self.end()
