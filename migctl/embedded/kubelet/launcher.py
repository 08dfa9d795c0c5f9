"""The process that leads a claim's processes: it starts the command, adopts what that leaves behind, and ends last.

Run as a file, with the standard library alone: `python -I -S launcher.py NAME BASE BOOT DIRECTORY CGROUP COMMAND...`,
the command's environment on descriptor 3, "NAME=value" with a zero byte after each; NAME is for those who read `ps`.
It outlives `migctl up`.

BASE.pid   made with O_EXCL, so that a claim's command starts once: this process, its start time, BOOT
BASE.exit  by rename, when the command has ended: its exit code, or 128 and the signal that killed it

As a "child subreaper" (prctl(2)) it becomes the parent of every process that detaches itself, however often that
forks and whatever it calls itself. When the command has ended, what is left of them is killed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time

ENVIRONMENT = 3
"""The descriptor that the command's environment is read from."""

BOUNDED_IN = "MIGCTL_CGROUP"
"""The variable that names the cgroup by which the driver bounds the share: without it nothing may run."""

NOT_JOINED, NOT_EXECUTABLE, NOT_FOUND = 126, 126, 127

_SET_CHILD_SUBREAPER = 36
_PAUSE_S = 0.02
_GIVE_UP_S = 10.0  # a process that even KILL does not end hangs in the driver: the runner goes on with it


def main(_name: str, base: str, boot: str, directory: str, cgroup: str, *command: str) -> None:
    environment = _environment()
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        gate = os.open(f"{base}.pid", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    os.write(gate, f"{os.getpid()} {_stat(os.getpid())[1]} {boot}\n".encode())
    os.close(gate)
    code = _run(directory, cgroup, command, environment)
    with open(f"{base}.exit.new", "w", encoding="ascii") as file:
        file.write(f"{code}\n")
    os.replace(f"{base}.exit.new", f"{base}.exit")
    _end_all()


def _run(directory: str, cgroup: str, command: tuple[str, ...], environment: dict[str, str]) -> int:
    if cgroup:
        try:
            with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as procs:
                procs.write(f"{os.getpid()}\n")
        except OSError as error:
            if environment.get(BOUNDED_IN) == cgroup:
                return _fail(f"cannot join the cgroup {cgroup}: {error.strerror}", NOT_JOINED)
    child = os.fork()
    if child == 0:
        _execute(directory, command, environment)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _execute(directory: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
    """Become the command; never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(directory)
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        os._exit(_fail(f"{command[0]}: command not found", NOT_FOUND))
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without a first line that says what runs it
            _execute_script(command, environment)
        os._exit(_fail(f"{command[0]}: {error.strerror}", NOT_EXECUTABLE))


def _execute_script(command: tuple[str, ...], environment: dict[str, str]) -> None:
    folders = [""] if "/" in command[0] else os.get_exec_path(environment)
    found = next(path for folder in folders if os.access(path := os.path.join(folder, command[0]), os.X_OK))
    os.execve("/bin/sh", ("/bin/sh", found, *command[1:]), environment)


def _end_all() -> None:
    """Kill every descendant: first stop them all, so that none forks away."""
    deadline = time.monotonic() + _GIVE_UP_S
    stopped: set[int] = set()
    while (left := _descendants()) and time.monotonic() < deadline:
        fresh = left - stopped
        for pid in fresh or left:
            try:
                os.kill(pid, signal.SIGSTOP if fresh else signal.SIGKILL)
            except ProcessLookupError:
                continue
        stopped |= fresh
        if not fresh:
            time.sleep(_PAUSE_S)
        _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _descendants() -> set[int]:
    """Live processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                parent, _, state = _stat(int(name))
            except OSError:
                continue
            if state != "Z":
                children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    below = children.get(os.getpid(), [])
    while below:
        found.update(below)
        below = [pid for parent in below for pid in children.get(parent, ())]
    return found


def _stat(pid: int) -> tuple[int, int, str]:
    """Parent, start time, state."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read().decode(errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), int(fields[19]), fields[0]


def _environment() -> dict[str, str]:
    with os.fdopen(ENVIRONMENT, "rb") as file:
        lines = file.read().split(b"\0")
    pairs = (os.fsdecode(line).partition("=") for line in lines if line)
    return {name: value for name, _, value in pairs}


def _fail(text: str, code: int) -> int:
    os.write(2, f"migctl: {text}\n".encode(errors="replace"))
    return code


if __name__ == "__main__":
    main(*sys.argv[1:])
