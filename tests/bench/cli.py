"""How fast the command line answers, printed as BENCH lines: `python -m tests.bench.cli`.

Whole processes, as a person starts them: interpreter, imports, output.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

ROUNDS = 21
ENTRY = "from migctl.cli.main import main; main()"


def milliseconds(words: Sequence[str], environ: Mapping[str, str], rounds: int = ROUNDS) -> list[float]:
    """What each of some runs of `migctl WORDS` took; a first one, that may compile, is not counted."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", ENTRY, *words], env={**os.environ, **environ}, stdout=subprocess.DEVNULL, check=True
        )
        taken.append((time.perf_counter() - start) * 1000)
    return taken[1:]


def main() -> None:
    completion = {"_MIGCTL_COMPLETE": "complete_bash", "COMP_WORDS": "migctl submit --gpu", "COMP_CWORD": "2"}
    for name, words, environ in (
        ("cli_help", ["--help"], {}),
        ("cli_submit_help", ["submit", "--help"], {}),
        ("cli_completion", [], completion),
    ):
        print(f"BENCH {name}_ms p50={statistics.median(milliseconds(words, environ)):.1f}")


if __name__ == "__main__":
    main()
