"""A thread that waits for the XID errors that the driver logs for GPUs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from nodeagent.nvml import Nvml, NvmlError

_WAIT_S = 1.0
_RETRY_S = 10.0
_STOP_S = 10.0


class ErrorWatch:
    """Calls `on_error` with GPU UUID and XID number of each error, from `start` to `stop`."""

    def __init__(self, nvml: Nvml, gpus: Sequence[str], on_error: Callable[[str, int], None]) -> None:
        self._nvml, self._gpus, self._on_error = nvml, gpus, on_error
        self._watch: object | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xid-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended, or waits for a driver that does not answer."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def wait(self, seconds: float) -> None:
        """Wait at most `seconds` for an error. Raises NvmlError; the next call opens a new watch."""
        try:
            if self._watch is None:
                self._watch = self._nvml.watch_errors(self._gpus)
            error = self._nvml.next_error(self._watch, seconds)
        except NvmlError:
            self.end()
            raise
        if error is not None:
            self._on_error(error.gpu, error.xid)

    def end(self) -> None:
        """Close the watch."""
        watch, self._watch = self._watch, None
        if watch is not None:
            with contextlib.suppress(NvmlError):
                self._nvml.end_watch(watch)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.wait(_WAIT_S)
            except NvmlError:
                self._stop.wait(_RETRY_S)
        self.end()
