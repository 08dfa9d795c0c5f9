"""The entry point: help, errors, exit codes, completion, and what is imported on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from migctl.backends.protocol import Conflict, ControlPlaneError, Expired, Forbidden, Invalid, NotFound, Unavailable
from migctl.cli.grammar.lazy_groups import Lazy
from migctl.cli.main import Commands
from migctl.cli.noun_first import SubmittedVerbs, Verbs
from tests.migctl.cli.conftest import Cli

LAZY = {name: lazy for part in Commands.table.values() for name, lazy in part.items()}
BELOW_NOUNS = {name: lazy for part in SubmittedVerbs.table.values() for name, lazy in part.items()}
SLOW = {"rich", "httpx", "msgspec", "asyncio", "yaml", "solver", "migctl.objects", "pydantic"}


@pytest.mark.parametrize(("name", "lazy"), [*LAZY.items(), *BELOW_NOUNS.items()])
def test_summaries_are_what_the_commands_say_of_themselves(name: str, lazy: Lazy) -> None:
    assert lazy.summary == lazy.load(name).get_short_help_str(limit=120)


@pytest.mark.parametrize("noun", ["training", "workspace", "inference", "workload"])
def test_a_noun_lists_what_it_can_do(cli: Cli, noun: str) -> None:
    out = cli.ok(noun).out
    assert all(f"  {name} " in out for name in Verbs.table["Commands"])
    assert ("  submit " in out) == (noun != "workload")


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_every_command(cli: Cli, words: list[str]) -> None:
    out = cli.ok(*words).out
    assert all(f"  {name} " in out for name in LAZY)


@pytest.mark.parametrize("words", [["project"], ["node"], ["node-pool"], ["training"], ["config"]])
def test_completion_is_offered_for_the_whole_of_migctl_only(cli: Cli, words: list[str]) -> None:
    assert "--install-completion" in cli.ok("--help").out
    assert "--install-completion" not in cli.ok(*words, "--help").out


@pytest.mark.parametrize("name", LAZY)
def test_every_command_has_help(cli: Cli, name: str) -> None:
    assert cli.ok(name, "--help").out.startswith(f"Usage: migctl {name}")


def test_a_word_that_is_no_command_gets_a_suggestion(cli: Cli) -> None:
    result = cli("sumbit")
    assert result.code == 2
    assert result.err == "error: no such command 'sumbit'. Did you mean 'submit'?\nhint: migctl --help\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("gone"), 3),
        (Conflict("changed"), 4),
        (Expired("old"), 4),
        (Invalid("bad"), 2),
        (Forbidden("no"), 6),
        (Unavailable("away"), 1),
        (PermissionError(13, "Permission denied", "/a"), 1),
    ],
)
def test_errors_of_the_control_plane_become_exit_codes(cli: Cli, error: Exception, code: int) -> None:
    if isinstance(error, ControlPlaneError):
        error.hint = "do this"
    cli.failing = error
    result = cli("project", "list")
    assert (result.code, result.out) == (code, "")
    text = "/a: Permission denied" if isinstance(error, OSError) else str(error)
    assert result.err.splitlines()[0] == f"error: {text}"
    assert ("hint: do this" in result.err) == isinstance(error, ControlPlaneError)


def test_a_defect_is_one_line_and_a_traceback_only_with_debug(cli: Cli) -> None:
    cli.failing = RuntimeError("boom")
    result = cli("project", "list")
    assert result.code == 1
    assert result.err.startswith("error: this is a defect of migctl: RuntimeError: boom\n")
    assert "Traceback" not in result.err
    assert "Traceback" in cli("--debug", "project", "list").err


def test_ctrl_c_is_130(cli: Cli) -> None:
    cli.failing = KeyboardInterrupt()
    assert cli("project", "list").code == 130


def test_a_closed_pipe_is_no_error_worth_a_word() -> None:
    program = "import sys; from migctl.cli.main import run; sys.stdout.flush(); sys.exit(run(['--help']))"
    first_line_only = f'{sys.executable} -c "{program}" | head -n 1'
    done = subprocess.run(["bash", "-c", first_line_only], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Usage: migctl")
    assert "Traceback" not in done.stderr


def imported(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["submit", "--help"], ["list", "-h"], ["training", "submit", "-h"]])
def test_help_imports_nothing_that_is_slow(words: list[str]) -> None:
    assert imported(f"from migctl.cli.main import run; run({words})").isdisjoint(SLOW)


def test_commands_never_import_the_solver() -> None:
    modules = imported(
        "from migctl.cli import events; from migctl.cli.machine import daemon;"
        "from migctl.cli.nodes import listing, top;"
        "from migctl.cli.plans import history; from migctl.cli.workloads import why, submit"
    )
    assert modules.isdisjoint({"ortools", "numpy", "solver.planner", "fastapi", "rich.console", "httpx", "psutil"})


def test_version(cli: Cli) -> None:
    assert cli.ok("version").out == f"migctl {cli.ok('version', '--short').out}"
    assert cli.ok("--version").out == cli.ok("version").out


@pytest.mark.parametrize("words", ["submit", "training submit", "project", ""])
def test_help_is_a_word_too(cli: Cli, words: str) -> None:
    assert cli.ok("help", *words.split()).out == cli.ok(*words.split(), "--help").out
    assert cli.ok("training", "help", "list").out == cli.ok("training", "list", "--help").out


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("list job", "list jobs"), ("list workload", "list jobs"), ("list workloads", "list jobs"),
        ("list node", "list nodes"), ("list project", "list projects"), ("top node", "top nodes"),
        ("top job", "top jobs"), ("top workload", "top jobs"), ("nodes list", "node list"), ("plans list", "plan list"),
        ("projects list", "project list"), ("departments list", "department list"), ("trainings list", "training list"),
        ("workloads list", "workload list"), ("gpu", "gpus"), ("event", "events"), ("contexts list", "context list"),
    ],
)  # fmt: skip
def test_singular_and_plural_words_are_alike(team: Cli, one: str, other: str) -> None:
    assert team.ok(*one.split()) == team.ok(*other.split())


@pytest.mark.parametrize("words", ["list nothing", "top nothing"])
def test_what_cannot_be_listed_is_said(team: Cli, words: str) -> None:
    result = team(*words.split())
    assert result.code == 2
    assert "'nothing' is nothing to" in result.err
    assert "nodes" in result.err


def test_whoami_login_logout(cli: Cli) -> None:
    assert cli.ok("whoami").lines[0].split() == ["User:", "ada", "(uid", "1000)"]
    assert "no login is needed" in cli.ok("login").out
    assert "nothing to log out of" in cli.ok("logout").out


def test_a_part_that_is_not_installed_is_named(cli: Cli) -> None:
    cli.failing = ModuleNotFoundError("No module named 'numpy'", name="numpy")
    result = cli("list")
    assert result.code == 1
    assert result.err.splitlines() == [
        "error: this installation lacks numpy, which the command needs",
        "hint: install all of migctl, with: pip install migctl",
    ]


@pytest.mark.parametrize("words", ["--help", "simulate --arrivals 5 --fleet v100=1 --policy first-fit", "version"])
def test_whoever_has_read_enough_makes_no_error(words: str) -> None:
    program = f"{sys.executable} -c 'from migctl.cli.main import main; main()' {words}"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} | true"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
