"""YAML files as documents: several in a file, files of a folder, standard input, and lists taken apart.

Who wrote a file may mean ill: how much is read, and how deep it goes, is bounded (migctl/cli/files/yaml_text.py).
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migctl.cli.failures import usage
from migctl.cli.files import yaml_text
from migctl.cli.grammar.completion import ENDINGS

STANDARD_INPUT = "-"
LONGEST_TITLE = 100
DESCRIPTION = "Description"
"""Of what `describe -o yaml` prints: the object, and what is known about it."""
MAX_BYTES = 8 << 20
"""Of all files of a command together: a thousand times an ordinary object."""


@dataclass(frozen=True)
class Document:
    """One object as it was written. where: file and number, for what is said about it."""

    where: str
    body: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Kind and name, as far as they are there: "Job train"."""
        meta = self.body.get("metadata", self.body.get("meta"))
        name = meta.get("name") if isinstance(meta, Mapping) else None
        title = f"{self.body.get('kind')} {name}" if name else str(self.body.get("kind"))
        return " ".join(title.split())[:LONGEST_TITLE]


def read(paths: Sequence[str], recursive: bool = False) -> list[Document]:
    """The documents of files, folders and standard input ("-"), in order. Raises Failure for what is none.

    recursive  folders with those below them
    """
    reading = _Reading(recursive)
    found = [document for path in paths for document in reading.of_path(path)]
    if not found:
        raise usage(f"{', '.join(paths)}: there is no document in it")
    return found


@dataclass
class _Reading:
    recursive: bool
    left: int = MAX_BYTES
    seen: set[str] = field(default_factory=set)

    def of_path(self, path: str) -> Iterator[Document]:
        if path in self.seen:
            raise usage(f"{path}: it is given twice")
        self.seen.add(path)
        if path == STANDARD_INPUT:
            yield from _documents(self._standard_input(), "standard input")
        elif Path(path).is_dir():
            for file in self._files(Path(path)):
                yield from _documents(self._text(file), str(file))
        else:
            yield from _documents(self._text(Path(path)), path)

    def _files(self, folder: Path) -> list[Path]:
        inside = folder.rglob("*") if self.recursive else folder.iterdir()
        files = sorted(file for file in inside if file.suffix in ENDINGS and file.is_file())
        if not files:
            hint = "" if self.recursive else "-R looks in the folders below it too"
            raise usage(f"{folder}: there is no file that ends in {', '.join(ENDINGS)}", hint=hint)
        return files

    def _text(self, file: Path) -> str:
        if "://" in str(file) or str(file).startswith(("http:/", "https:/")):
            raise usage(f"{file}: it is no file", hint="curl -sSf URL | migctl apply -f -")
        with file.open("rb") as stream:
            raw = stream.read(self.left + 1)
        self._spend(len(raw), str(file))
        try:
            return raw.removeprefix(codecs.BOM_UTF8).decode()
        except UnicodeDecodeError:
            raise usage(f"{file}: this is no text in UTF-8") from None

    def _standard_input(self) -> str:
        try:
            text = sys.stdin.read(self.left + 1)
        except UnicodeDecodeError:
            raise usage("standard input: this is no text in UTF-8") from None
        self._spend(len(text), "standard input")
        return text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")

    def _spend(self, size: int, name: str) -> None:
        if size > self.left:
            raise usage(
                f"{name}: the documents are larger than {MAX_BYTES >> 20} MiB", hint="give fewer files at a time"
            )
        self.left -= size


def _documents(text: str, name: str) -> Iterator[Document]:
    loaded = yaml_text.load(text, name)
    for number, body in enumerate(loaded, 1):
        where = f"{name}, document {number}" if len(loaded) > 1 else name
        if body is not None:
            yield from _items(body, where)


def _items(body: Any, where: str) -> Iterator[Document]:
    """The document, those of a list, or the object that a description is about."""
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        raise usage(f"{where}: a document needs apiVersion and kind", hint="migctl submit --dry-run -o yaml shows one")
    items = body.get("items")
    if body["kind"].endswith("List") and isinstance(items, list):
        for number, item in enumerate(items, 1):
            yield from _items(item, f"{where}, item {number}")
        return
    described = body.get(body["kind"].removesuffix(DESCRIPTION).lower())
    if body["kind"].endswith(DESCRIPTION) and isinstance(described, dict):
        yield from _items(described, where)
        return
    yield Document(where, body)
