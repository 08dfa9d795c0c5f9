"""What stands between the client library and `migctl up`: it loses requests and answers when it is told to."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Fault(StrEnum):
    """What goes wrong with one request."""

    REFUSED = "503 before it arrives"
    UNAVAILABLE = "503 after it was done"
    CUT = "the answer is cut off"
    NONE = ""


@dataclass
class Doorway:
    """Serves on `url` what is served on a port of loopback.

    faults  what goes wrong with the next requests, in their order; nothing does with those for a token
    """

    port: int
    url: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def losing(self, *faults: Fault) -> Iterator[None]:
        """These faults happen to the next requests, and all of them have happened at the end."""
        self.faults.extend(faults)
        yield
        assert not self.faults, f"{list(self.faults)} did not happen"

    def next_fault(self) -> Fault:
        with self.lock:
            return self.faults.popleft() if self.faults else Fault.NONE

    def forwarded(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @contextlib.contextmanager
    def open(self) -> Iterator[Doorway]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"doorway": self}))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield self
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    doorway: Doorway

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = Fault.NONE if self.path == "/api/v1/token" else self.doorway.next_fault()
        if fault is Fault.REFUSED:
            self._answer(503, b"{}")
            return
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
        status, answer = self.doorway.forwarded(self.command, self.path, body, headers)
        if fault is Fault.UNAVAILABLE:
            self._answer(503, b"{}")
        elif fault is Fault.CUT:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(status, answer)

    do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = handle_any  # noqa: N815  # names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
