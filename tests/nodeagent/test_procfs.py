"""What is read of processes below /proc."""

from __future__ import annotations

import os
import subprocess

import pytest

from nodeagent import procfs


def test_a_process_is_read_as_long_as_it_lives() -> None:
    environment = {**os.environ, "NAME": "value", "EMPTY": "", "LONGER_NAME": "another"}
    process = subprocess.Popen(["/bin/cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"the program runs: within exec a process shows an empty environment\n")
        process.stdin.flush()
        process.stdout.readline()
        read = [procfs.variable(process.pid, name) for name in ("NAME", "EMPTY", "NAM")]
        assert read == ["value", "", None]
        assert procfs.parent(process.pid) == os.getpid()
        assert process.pid in procfs.pids()
        assert procfs.start_time(process.pid) is not None
    finally:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert procfs.start_time(process.pid) is None, "a zombie"
    process.communicate()
    assert procfs.start_time(process.pid) is None
    with pytest.raises(OSError, match=str(process.pid)):
        procfs.parent(process.pid)
