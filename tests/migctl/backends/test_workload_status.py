"""How a program ended, in words."""

from __future__ import annotations

import pytest

from migctl.backends.workload_status import ending


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "exit code 1"),
        (126, "exit code 126: its command cannot be executed"),
        (127, "exit code 127: its command was not found"),
        (128, "exit code 128"),
        (137, "killed by signal 9 (SIGKILL)"),
        (139, "killed by signal 11 (SIGSEGV)"),
        (200, "exit code 200"),
        (255, "exit code 255"),
    ],
)
def test_an_exit_code_is_said_as_what_it_means(code: int, words: str) -> None:
    assert ending(code) == words
