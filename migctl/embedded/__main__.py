"""The detached `migctl up`: says on an inherited pipe that it is ready, or why it could not start.

With "-" in place of the pipe's number it goes on for one that ended (the driver changed), and says it on stderr.
"""

from __future__ import annotations

import os
import sys

import structlog

from migctl.api.tcp.options import ListenOptions
from migctl.backends.http.wire import error_body
from migctl.backends.protocol import ControlPlaneError
from migctl.embedded import daemon
from migctl.embedded.home import Home
from migctl.objects import encode


def main(answer: int | None, simulate: str | None, listen: ListenOptions | None = None) -> int:
    if answer is not None:
        os.set_inheritable(answer, False)  # a workload that is started before `ready` must not keep the caller waiting
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    def ready() -> None:
        if answer is not None:
            os.write(answer, daemon.READY)
            os.close(answer)

    try:
        daemon.run_here(Home.default(), simulate, listen, ready)
    except ControlPlaneError as error:
        if answer is None:
            sys.stderr.write(f"{error}\n{error.hint}\n")
        else:
            os.write(answer, encode(error_body(error)))
        return 1
    return 0


if __name__ == "__main__":
    pipe, simulated, *told = sys.argv[1:]
    code = main(None if pipe == "-" else int(pipe), simulated or None, ListenOptions(*told) if told else None)
    sys.stderr.flush()
    os._exit(code)  # all is closed: `migctl down` need not wait until the planner's libraries are taken apart
