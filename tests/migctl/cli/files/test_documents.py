"""How files are read: folders, standard input, JSON, and what was written to do harm."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from migctl.cli.files import yaml_text
from migctl.cli.files.documents import MAX_BYTES
from tests.migctl.cli.conftest import Cli
from tests.migctl.cli.files.written import JOB, POD, changed, stored, typed

SECOND = changed(JOB, "metadata", "name", value="other")
TEXT = yaml.safe_dump(JOB)


def bomb(levels: int) -> str:
    """A text of a few lines, each of which stands ten times in the next one."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "aliases without end": (bomb(9), "with its aliases written out it is more than 500,000 values"),
    "a thing in itself": ("a: &a [*a]", "*a names nothing that is whole before it"),
    "an alias of nothing": ("a: *b", "*b names nothing that is whole before it"),
    "deep lists": ("[" * 65, "it goes deeper than 64 levels"),
    "lists without end": ("[" * 100_000, "it goes deeper than 64 levels"),
    "deep objects": ("\n".join(" " * n + "a:" for n in range(100)), "it goes deeper than 64 levels"),
    "a large file": ("#" * (MAX_BYTES + 1), "the documents are larger than 8 MiB"),
    "many values": ("a: [" + "1," * 600_000 + "]", "more than 500,000 values"),
    "an object of Python": ("a: !!python/object/apply:os.system [id]", "no value of type python/object/apply:os"),
    "bytes": ("a: !!binary aGk=", "no value of type binary"),
    "a number that is none": ("a: .nan", ".nan is no number here"),
    "a number without end": ("a: -.inf", "-.inf is no number here"),
    "a long number": ("a: 1" + "0" * 5000, "this is no YAML: Exceeds the limit"),
    "a key that is a list": ("? [a]\n: b", "the key a list or an object is no text"),
    "a key that is nothing": ("~: b", "the key ~ is no text"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "line 3: this is no YAML: the key 'a' stands twice"),
    "a key twice, once as a number": ("1: a\n'1': b\n", "the key '1' stands twice"),
    "a tab": ("a:\n\tb: 1\n", "line 2: this is no YAML: "),
    "no UTF-8": (b"a: \xff\xfe", "this is no text in UTF-8"),
    "a null": ("a: \0", "this is no YAML: "),
    "an escape sequence": ("a: \x1b[2J", "this is no YAML: "),
    "JSON with a key twice": ('{"kind": "a", "kind": "b"}', "the key 'kind' stands twice"),
    "JSON without end": ('{"a":' * 5000 + "1" + "}" * 5000, "it goes deeper than 64 levels"),
    "deep JSON": ('{"a":' * 65 + "[1]" + "}" * 65, "it goes deeper than 64 levels"),
    "JSON with a large number": ('{"a": 1e999}', "1e999 is no number here"),
    "JSON with no number": ('{"a": NaN}', "NaN is no number here"),
    "JSON with half a letter": ('{"kind": "\\ud800"}', "half of a letter is no text"),
    "JSON with a long number": ('{"a": 1' + "0" * 5000 + "}", "this is no YAML: Exceeds the limit"),
    "a template": ("{{ .Values.x }}: 1\n- a", "this is no YAML: "),
}


@pytest.mark.parametrize(("text", "said"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_was_written_to_do_harm_is_refused_in_a_line(
    machine: Cli, tmp_path: Path, text: str | bytes, said: str
) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = machine("apply", "-f", str(file))
    assert result.code == 2, result
    error, *rest = result.err.splitlines()
    assert error.startswith(f"error: {file}")
    assert said in error
    assert len(rest) <= 1, result.err  # a hint
    assert not any(ord(letter) <= 0x1F for letter in error)


@pytest.mark.parametrize("text", ['kind: Job\n"\\e[2J\\u202e": 1', 'kind: "\\e[2J"', 'kind: Job\nspec: {"\\e[2J": 1}'])
def test_names_do_not_steer_the_terminal(machine: Cli, write: Any, text: str) -> None:
    result = machine("apply", "-f", write(f"apiVersion: batch/v1\n{text}"))
    assert result.code == 2
    assert r"\x1b[2J" in result.err
    assert not {"\x1b", "\u202e"} & set(result.err)


def test_values_do_not_steer_the_terminal_of_a_diff(machine: Cli, write: Any) -> None:
    environment = [{"name": "A", "value": "\x1b[2J\u202e"}]
    shown = machine("diff", "-f", write(changed(POD, "spec", "containers", 0, "env", value=environment)))
    assert shown.code == 1
    assert not {"\x1b", "\u202e"} & set(shown.out)


def test_tabs_are_told_of(machine: Cli, write: Any) -> None:
    assert "hint: YAML is indented with spaces" in machine("apply", "-f", write("a:\n\tb: 1\n")).err


def test_aliases_within_reason_are_fine(machine: Cli, write: Any) -> None:
    text = TEXT.replace("completions: 4", "completions: &n 4").replace("parallelism: 2", "parallelism: *n")
    machine.ok("apply", "-f", write(text))
    assert stored(machine, "train").spec.parallelism == 4


def test_windows_files_are_read(machine: Cli, tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert machine.ok("apply", "-f", str(file)).out == "workload/train created\n"


def test_standard_input_with_a_mark_at_its_beginning(machine: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(machine, monkeypatch, "\N{ZERO WIDTH NO-BREAK SPACE}" + TEXT, "apply", "-f", "-").code == 0


def test_standard_input_is_bounded_too(machine: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.StringIO):
        def read(self, size: int | None = -1) -> str:
            assert size is not None
            assert 0 < size <= MAX_BYTES + 1
            return "#" * size

    monkeypatch.setattr("sys.stdin", Endless())
    result = machine("apply", "-f", "-")
    assert (result.code, "standard input: the documents are larger than 8 MiB" in result.err) == (2, True)


def test_json_and_lists_of_lists(machine: Cli, write: Any) -> None:
    inner = {"apiVersion": "v1", "kind": "List", "items": [SECOND]}
    file = write(json.dumps({"apiVersion": "v1", "kind": "List", "items": [JOB, inner]}, indent="\t"), "w.json")
    assert machine.ok("apply", "-f", file).out == "workload/train created\nworkload/other created\n"


def test_folders_below_are_read_with_r_only(machine: Cli, write: Any, tmp_path: Path) -> None:
    below = tmp_path / "yaml" / "below"
    below.mkdir(parents=True)
    (below / "w.yaml").write_text(yaml.safe_dump(SECOND))
    folder = str(below.parent)
    refused = machine("apply", "-f", folder)
    assert (refused.code, "hint: -R looks in the folders below it too" in refused.err) == (2, True)
    write(JOB)
    assert machine.ok("apply", "-f", folder).out == "workload/train created\n"
    assert machine.ok("apply", "-R", "-f", folder).out == "workload/other created\nworkload/train unchanged\n"
    assert machine.ok("delete", "-Rf", folder).out == "workload/train deleted\nworkload/other deleted\n"


def test_several_files_and_one_of_them_twice(machine: Cli, write: Any) -> None:
    one, two = write(JOB, "1.yaml"), write(SECOND, "2.yaml")
    assert machine.ok("apply", "-f", one, "-f", two).out == "workload/train created\nworkload/other created\n"
    twice = machine("apply", "-f", one, "-f", one)
    assert (twice.code, "1.yaml: it is given twice" in twice.err) == (2, True)
    again = machine("apply", "-f", one, "-f", write(JOB, "3.yaml"))
    assert (again.code, "workload/train stands there twice, first in " in again.err) == (2, True)


def test_an_address_is_no_file(machine: Cli) -> None:
    result = machine("apply", "-f", "https://example.com/job.yaml")
    assert (result.code, "hint: curl -sSf URL | migctl apply -f -" in result.err) == (2, True)


def test_keys_are_text_as_kubectl_makes_it() -> None:
    assert yaml_text.load("on: a\n2: b\n'x': 2030-01-01", "w") == [{"true": "a", "2": "b", "x": "2030-01-01"}]


def test_files_are_completed(machine: Cli, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from migctl.cli.grammar import completion

    folder = Path(write(JOB, "job.yaml")).parent
    (folder / "jobs").mkdir()
    (folder / "jot.txt").touch()
    (folder / ".hidden.yaml").touch()
    monkeypatch.chdir(folder.parent)
    context: Any = None
    assert completion.files(context, "ya") == ["yaml/"]
    assert completion.files(context, "yaml/") == ["yaml/job.yaml", "yaml/jobs/"]
    assert completion.files(context, f"{folder}/j") == [f"{folder}/job.yaml", f"{folder}/jobs/"]
    assert completion.files(context, "none/") == []
