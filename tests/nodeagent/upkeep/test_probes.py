"""The agent's port, which every pod can reach."""

from __future__ import annotations

import contextlib
import socket
import urllib.request

from nodeagent.upkeep import probes
from tests.limits import WAIT_S


def test_callers_that_never_end_their_request_keep_nobody_out() -> None:
    with (
        probes.serving("127.0.0.1", 0, lambda: True, lambda: True, lambda: b"") as port,
        contextlib.ExitStack() as idle,
    ):
        callers = []
        for _ in range(4 * probes.MAX_CALLERS):
            callers.append(idle.enter_context(socket.create_connection(("127.0.0.1", port), WAIT_S)))
            callers[-1].sendall(b"GET /hea")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=WAIT_S) as answer:
            assert answer.read() == b"ok\n"
        for caller in callers[: 3 * probes.MAX_CALLERS]:
            with contextlib.suppress(ConnectionResetError):
                assert caller.recv(1) == b"", "the earliest are closed"
