"""Forks agents that die: `python -m tests.nodeagent.faults.killed_processes SCENE [DAY]`, one job a line on stdin.

DAY is "agent" or "driver": the agent alone, or with the DRA driver around it.

A job is {"directory", "step", "name", "nth"}: live the day there and be killed at that point. A line
with the wait status answers. Forking from one warm process makes a death cost milliseconds.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from nodeagent.journal.durable import write_all
from tests.nodeagent.dra.harness.driver_day import DriverDay
from tests.nodeagent.faults.fault_points import Day, Point

DAYS: dict[str, Callable[[Path], Day | DriverDay]] = {"agent": Day, "driver": DriverDay}


def die(day: Day | DriverDay, job: dict[str, object]) -> None:
    directory = Path(str(job["directory"]))
    told = os.open(directory / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    point = Point(str(job["step"]), str(job["name"]), int(str(job["nth"])))
    injector = day.injector(directory, at=point)
    day.live(directory, injector, lambda line: write_all(told, f"{line}\n".encode()))


def main() -> None:
    day = DAYS[sys.argv[2] if len(sys.argv) > 2 else "agent"](Path(sys.argv[1]))
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                die(day, json.loads(line))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
