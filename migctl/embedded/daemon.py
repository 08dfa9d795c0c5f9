"""Starting and stopping `migctl up`: in the foreground, or as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import psutil

from migctl.api.tcp.options import ListenOptions
from migctl.backends.http.wire import Error, to_exception
from migctl.backends.protocol import Conflict, ControlPlaneError
from migctl.embedded.home import HOME_VARIABLE, Home
from migctl.garbage_collection import collect_rarely

STOP_TIMEOUT_S = 30.0
READY = b"ready\n"


class AlreadyUp(Conflict):
    """A control plane serves this home already."""


class CouldNotStart(ControlPlaneError):
    """The daemon ended before it was ready."""


class NotUp(ControlPlaneError):
    """No control plane serves this home."""


@dataclass(frozen=True, slots=True)
class Up:
    """A running `migctl up`. `started`: psutil's create time, which tells a reused pid apart."""

    pid: int
    started: float

    @classmethod
    def of(cls, home: Home) -> Up | None:
        """The one that serves this home now."""
        try:
            up = cls(**json.loads(home.up.read_text()))
            process = psutil.Process(up.pid)
            alive = process.create_time() == up.started and process.status() != psutil.STATUS_ZOMBIE
        except (FileNotFoundError, ValueError, TypeError, psutil.Error):
            return None
        return up if alive else None

    @classmethod
    def here(cls) -> Up:
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time())

    def write(self, home: Home) -> None:
        """Replace the home's file. Raises OSError."""
        new = home.up.with_suffix(".new")
        new.write_text(json.dumps({"pid": self.pid, "started": self.started}))
        new.replace(home.up)


def start(home: Home, simulate: str | None = None, detach: bool = False, listen: ListenOptions | None = None) -> int:
    """Serve this home; the pid that does. Returns when it is ready (detached) or has ended.

    Raises AlreadyUp, CouldNotStart, NoGpus, and what the store and the socket raise.
    """
    running = Up.of(home)
    if running is not None:
        raise AlreadyUp(f"migctl is up already (pid {running.pid}, {home.path})", "migctl down stops it")
    home.make()
    home.listening.unlink(missing_ok=True)  # of one that was killed
    if detach:
        return _start_detached(home, simulate, listen)
    run_here(home, simulate, listen, lambda: print(_told(home), file=sys.stderr, flush=True))
    return os.getpid()


def _told(home: Home) -> str:
    return "; ".join((f"migctl is up: {home.path}", *filter(None, (listening(home),))))


def listening(home: Home) -> str:
    """Where the running `migctl up` listens on TCP, in words; "" where it does not."""
    try:
        return home.listening.read_text()
    except FileNotFoundError:
        return ""


def _start_detached(home: Home, simulate: str | None, listen: ListenOptions | None) -> int:
    reading, writing = os.pipe()
    arguments = [sys.executable, "-m", "migctl.embedded", str(writing), *_arguments(simulate, listen)]
    with home.log.open("ab") as log, os.fdopen(reading, "rb") as answer:
        process = subprocess.Popen(
            arguments,
            env={**os.environ, HOME_VARIABLE: str(home.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        said = answer.read()
    if said == READY:
        return process.pid
    process.wait()
    if said:
        raise to_exception(msgspec.json.decode(said, type=Error))
    raise CouldNotStart(f"migctl up ended with code {process.returncode}", f"its log: {home.log}")


def run_here(home: Home, simulate: str | None, listen: ListenOptions | None, ready: Callable[[], None]) -> None:
    """Serve in this process until SIGTERM or SIGINT. When the driver changes, this process begins anew with that."""
    change = _serve(home, simulate, listen, ready)
    if change:
        print(f"migctl: {change}; starting anew, workloads go on", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "migctl.embedded", "-", *_arguments(None, listen)])


def _arguments(simulate: str | None, listen: ListenOptions | None) -> list[str]:
    """What a process of its own is told: `migctl.embedded.__main__` reads it."""
    told = [] if listen is None else [listen.listen, listen.tls_cert, listen.tls_key]
    return [simulate or "", *told]


def _serve(home: Home, simulate: str | None, listen: ListenOptions | None, ready: Callable[[], None]) -> str:
    """Serve until a signal (""), or until the driver changes (why)."""
    from migctl.embedded import hardware, up
    from nodeagent.upkeep import logs
    from nodeagent.upkeep.metrics import Metrics

    metrics = Metrics()
    agent = hardware.open_hardware(home, simulate, (logs.observer, metrics.observer))
    metrics.attach(agent)
    with hardware.upkeep_running(agent, os.environ):
        Up.here().write(home)
        try:
            collect_rarely()
            return asyncio.run(up.serve(home, agent, ready, metrics.text, listen))
        finally:
            home.up.unlink(missing_ok=True)


def stop(home: Home) -> None:
    """Stop the control plane; workloads keep running. Raises NotUp."""
    running = Up.of(home)
    if running is None:
        raise NotUp(f"migctl is not up ({home.path})", "migctl up")
    process = psutil.Process(running.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        process.kill()
