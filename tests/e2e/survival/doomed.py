"""`migctl up` that SIGKILL ends at one of the changes it makes: `python -m tests.e2e.survival.doomed FD [SIMULATE]`.

A change is what outlives the process: a commit of the store, an entry of a journal, a process started or signalled.
Each is a line of `changes` in the home. `doom` there says which is the last.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from migctl.backends.sqlite.database import Database
from migctl.embedded.__main__ import main
from migctl.embedded.home import Home

OPERATIONS = ("fdatasync", "kill", "posix_spawn")


@dataclass(frozen=True, slots=True)
class Doom:
    """Which change is the last: the first whose line has this text.

    done  the end comes once the change is made and before anybody is told of it, rather than before it
    """

    text: str
    done: bool = False

    def write(self, home: Path) -> None:
        new = home / "doom.new"
        new.write_text(json.dumps(asdict(self)))
        new.replace(home / "doom")

    def avert(self, home: Path) -> None:
        (home / "doom").unlink()

    @classmethod
    def read(cls, home: Path) -> Doom | None:
        path = home / "doom"
        return cls(**json.loads(path.read_text())) if path.exists() else None


def changes(home: Path) -> list[str]:
    """The lines of all changes, the last one at the end."""
    return (home / "changes").read_text().splitlines()


class Changes:
    """Hears of every change of this process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lines = os.open(home / "changes", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lock = threading.Lock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(Database, "append", self._doomed(Database.append, _objects)))
            for name in OPERATIONS:
                operation = self._doomed(getattr(os, name), functools.partial(_named, name))
                stack.enter_context(mock.patch.object(os, name, operation))
            yield

    def _doomed(self, change: Callable[..., Any], line: Callable[..., str]) -> Callable[..., Any]:
        def doomed(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                said = line(*arguments)
                os.write(self._lines, f"{said}\n".encode())
                doom = Doom.read(self._home)
                if doom is not None and doom.text in said:
                    if doom.done:
                        change(*arguments, **named)
                    signal.raise_signal(signal.SIGKILL)
            return change(*arguments, **named)

        return doomed


def _objects(database: Database, changes: Any, *_: Any) -> str:
    return " ".join(f"{change.type} {change.object.PLURAL}/{change.object.meta.name}" for change in changes)


def _named(name: str, target: Any, *_: Any) -> str:
    return f"{name} {target}"


if __name__ == "__main__":
    with Changes(Home.default().path).watched():
        sys.exit(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
