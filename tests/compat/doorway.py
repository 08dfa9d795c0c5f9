"""What stands between the client library and `migctl up`: it hands out tokens, and loses what it is told to lose."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIFE_S = 900


class Fault(StrEnum):
    """What goes wrong with one request."""

    REFUSED = "503 before it arrives"
    UNAVAILABLE = "503 after it was done"
    CUT = "the answer is cut off"
    NONE = ""


def _token() -> str:
    """A JSON web token of which only `exp` is read, by the library."""
    parts = ({"alg": "none"}, {"sub": "tester", "exp": int(time.time()) + LIFE_S})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, "signature"))


class _UnixConnection(http.client.HTTPConnection):
    """A connection to the socket of `migctl up`."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


@dataclass
class Doorway:
    """Serves on `url` what the socket serves.

    faults  what goes wrong with the next requests, in their order
    passed  method and path of each request that reached the socket
    """

    socket: Path
    url: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    passed: list[tuple[str, str]] = field(default_factory=list)
    token: str = field(default_factory=_token)
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

    def forwarded(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.lock:
            self.passed.append((method, path))
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
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
        if self.path == "/api/v1/token":
            self._answer(200, json.dumps({"accessToken": self.doorway.token, "expiresIn": LIFE_S}).encode())
            return
        if self.headers.get("Authorization") != f"Bearer {self.doorway.token}":
            self._answer(401, b'{"code":401,"message":"a token is needed","details":""}')
            return
        fault = self.doorway.next_fault()
        if fault is Fault.REFUSED:
            self._answer(503, b"{}")
            return
        status, _, answer = self.doorway.forwarded(self.command, self.path, body)
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
