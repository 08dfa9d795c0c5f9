"""Waits for the XID errors that the driver logs for GPUs, in a thread of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from nodeagent.nvml import Nvml, NvmlError
from nodeagent.supervised import SupervisedLoop

_WAIT_S = 0.25  # a stop waits for it
_RETRY_S = 10.0


class ErrorWatch:
    """Calls `on_error` with GPU UUID and XID number of each error, from `start` to `stop`."""

    def __init__(self, nvml: Nvml, gpus: Sequence[str], on_error: Callable[[str, int], None]) -> None:
        self._nvml, self._gpus, self._on_error = nvml, gpus, on_error
        self._watch: object | None = None
        self.loop = SupervisedLoop(
            "xid-watch", lambda: self.wait(_WAIT_S), 0.0, retry_s=_RETRY_S, expected=(NvmlError,)
        )

    def start(self) -> None:
        self.loop.start()

    def stop(self) -> None:
        """Returns when the thread has ended, or waits for a driver that does not answer."""
        if self.loop.stop():
            self.end()

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
