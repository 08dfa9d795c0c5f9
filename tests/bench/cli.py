"""How fast the command line answers, printed as BENCH lines: `make bench-cli`.

Whole processes, as a person starts them: interpreter, imports of what is compiled already, output. `python -c pass`
of the same rounds says how fast the machine was meanwhile.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROUNDS = 21
ENTRY = ("-c", "from migctl.cli.main import main; main()")
PASS = ("-c", "pass")
FLEET = "node-a:v100=2,node-b:a100-40gb=2"
WORKLOADS = 8

Command = tuple[Sequence[str], Mapping[str, str]]


def milliseconds(commands: Sequence[Command], rounds: int = ROUNDS) -> list[float]:
    """The median of each command's runs, which take turns; a first one, that may compile, is not counted."""
    taken = [[_once(*command) for command in commands] for _ in range(rounds + 1)][1:]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def _once(arguments: Sequence[str], environ: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env={**os.environ, **environ}, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - start) * 1000


@contextmanager
def simulated_machine() -> Iterator[Mapping[str, str]]:
    """The environment in which commands reach a `migctl up` with some workloads."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"MIGCTL_HOME": f"{folder}/home", "MIGCTL_CONFIG": f"{folder}/config.json", "KUBECONFIG": ""}

        def migctl(*words: str) -> None:
            subprocess.run(
                [sys.executable, *ENTRY, *words],
                env={**os.environ, **environ},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
                cwd=Path(folder),
            )

        migctl("up", "--simulate", FLEET, "--detach")
        try:
            for number in range(WORKLOADS):
                migctl("submit", f"job-{number}", "-g", "0.5", "--", "sleep", "3600")
            migctl("wait", "job-0")
            yield environ
        finally:
            migctl("down", "--workloads")


def main() -> None:
    completion = {"_MIGCTL_COMPLETE": "complete_bash", "COMP_WORDS": "migctl submit --gpu", "COMP_CWORD": "2"}
    without: Sequence[Command] = (
        (PASS, {}),
        ((*ENTRY, "--help"), {}),
        ((*ENTRY, "submit", "--help"), {}),
        (ENTRY, completion),
    )
    python, top, submit, words = milliseconds(without)
    print(f"BENCH cli help_ms p50={top:.1f} submit_help_ms p50={submit:.1f} completion_ms p50={words:.1f} ", end="")
    print(f"python_ms p50={python:.1f}")
    with simulated_machine() as environ:
        commands = (("list",), ("describe", "job-0"), ("gpus",))
        running = [(PASS, environ), *(((*ENTRY, *command), environ) for command in commands)]
        python, listed, described, gpus = milliseconds(running)
    print(f"BENCH cli list_ms p50={listed:.1f} describe_ms p50={described:.1f} gpus_ms p50={gpus:.1f} ", end="")
    print(f"python_ms p50={python:.1f}")


if __name__ == "__main__":
    main()
