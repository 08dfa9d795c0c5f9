"""YAML files as documents: several in a file, files of a folder, standard input, and lists taken apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migctl.cli.failures import usage

STANDARD_INPUT = "-"
ENDINGS = (".yaml", ".yml", ".json")


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
        return f"{self.body.get('kind')} {name}" if name else str(self.body.get("kind"))


def read(paths: Sequence[str]) -> list[Document]:
    """The documents of files, folders and standard input ("-"), in order. Raises Failure for what is none."""
    found = [document for path in paths for document in _of_path(path)]
    if not found:
        raise usage(f"{', '.join(paths)}: there is no document in it")
    return found


def _of_path(path: str) -> Iterator[Document]:
    if path == STANDARD_INPUT:
        yield from _of_text(sys.stdin.read(), "standard input")
        return
    place = Path(path)
    if not place.is_dir():
        yield from _of_text(_text(place), path)
        return
    files = sorted(file for file in place.iterdir() if file.suffix in ENDINGS and file.is_file())
    if not files:
        raise usage(f"{path}: there is no file that ends in {', '.join(ENDINGS)}")
    for file in files:
        yield from _of_text(_text(file), str(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise usage(f"{file}: this is no text") from None


def _of_text(text: str, name: str) -> Iterator[Document]:
    import yaml

    try:
        loaded = list(yaml.load_all(text, _loader()))
    except yaml.YAMLError as error:
        raise usage(f"{name}: this is no YAML: {' '.join(str(error).split())}") from None
    for number, body in enumerate(loaded, 1):
        where = f"{name}, document {number}" if len(loaded) > 1 else name
        if body is not None:
            yield from _items(body, where)


def _items(body: Any, where: str) -> Iterator[Document]:
    """The document, or those of a list."""
    if not isinstance(body, dict) or not isinstance(body.get("kind"), str):
        raise usage(f"{where}: a document needs apiVersion and kind", hint="migctl submit --dry-run -o yaml shows one")
    items = body.get("items")
    if body["kind"].endswith("List") and isinstance(items, list):
        for number, item in enumerate(items, 1):
            yield from _items(item, f"{where}, item {number}")
        return
    yield Document(where, body)


def _loader() -> Any:
    """YAML as Kubernetes reads it: a key stands once, and what looks like a date is text."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader
