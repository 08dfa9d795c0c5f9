"""The agent's HTTP server for the kubelet's probes and Prometheus: /healthz, /readyz, /metrics.

Healthy: its threads work. Ready: the kubelet can reach it. Python's own server: the agent has no other.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nodeagent.upkeep.metrics import CONTENT_TYPE

MAX_CALLERS = 16
"""At a time: every pod of the cluster can reach the port."""

Request = socket.socket | tuple[bytes, socket.socket]

ProbeAnswer = Callable[[], bytes | bool]
"""Metrics in Prometheus's text format, or whether all is well."""


class _ProbeServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], answers: dict[str, ProbeAnswer]) -> None:
        super().__init__(address, _Handler)
        self.answers = answers
        self._callers: dict[socket.socket, None] = {}
        self._callers_lock = threading.Lock()

    def process_request(self, request: Request, client_address: object) -> None:
        """Answer in a thread of its own; the caller that has been here longest leaves for one too many."""
        assert isinstance(request, socket.socket)
        with self._callers_lock:
            self._callers[request] = None
            if len(self._callers) > MAX_CALLERS:
                earliest = next(iter(self._callers))
                del self._callers[earliest]
                with contextlib.suppress(OSError):
                    earliest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        """Close a connection."""
        with self._callers_lock:
            self._callers = {caller: None for caller in self._callers if caller is not request}
        super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    server: _ProbeServer
    timeout = 10

    def do_GET(self) -> None:
        """Answer a path that is known."""
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self._send(404, b"there are /healthz, /readyz and /metrics\n", "text/plain")
            return
        result = answer()
        if isinstance(result, bytes):
            self._send(200, result, CONTENT_TYPE)
        else:
            self._send(200 if result else 503, b"ok\n" if result else b"no\n", "text/plain")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(
    host: str, port: int, healthy: Callable[[], bool], ready: Callable[[], bool], metrics: Callable[[], bytes]
) -> Iterator[int]:
    """Answer until the block ends; gives the port. Raises OSError where it is taken."""
    server = _ProbeServer((host, port), {"/healthz": healthy, "/readyz": ready, "/metrics": metrics})
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
