"""Programs that make it hard to find or to end them, as Python for `-c`; each writes its pid when it is ready.

It writes into the file that is named by its first argument.
"""

from __future__ import annotations

_COMMON = """
import ctypes, os, signal, sys, time

def rename():
    'As setproctitle does: write over the command line and the environment that the kernel shows.'
    fields = open('/proc/self/stat').read().rpartition(')')[2].split()
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, 0, end - start)
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)

def daemonise():
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)

def ready(suffix=''):
    name = sys.argv[1] + suffix
    with open(name + '.new', 'w') as file:
        file.write(str(os.getpid()))
    os.rename(name + '.new', name)

def beside(act):
    'Let a child do it, and go on as the command.'
    if os.fork() == 0:
        act()
        ready()
        time.sleep(1000)
    time.sleep(1000)
"""


def _program(body: str) -> str:
    return _COMMON + body


PROGRAMS = {
    "forks": _program("beside(lambda: None)"),
    "daemonises": _program("beside(daemonise)"),
    "renames-itself": _program("rename(); ready(); time.sleep(1000)"),
    "daemonises-and-renames-itself": _program("beside(lambda: (daemonise(), rename()))"),
    "ignores-term": _program("signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); time.sleep(1000)"),
    "is-stopped": _program("ready(); os.kill(os.getpid(), signal.SIGSTOP)"),
    "stops-its-whole-group": _program("ready(); os.killpg(0, signal.SIGSTOP)"),
    "forks-without-end": _program(
        """
def act():
    daemonise(); rename(); ready()
    end = time.monotonic() + 30  # a test run that is killed must not leave it behind
    while time.monotonic() < end:
        if os.fork():
            time.sleep(0.001)
            os._exit(0)
        os.setsid()
beside(act)
"""
    ),
}
