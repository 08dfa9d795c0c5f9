"""docs/troubleshooting.md quotes what the program says: `...` stands for what differs from case to case."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
OTHERS = {"driver gpu.migctl.dev not found", "not registered", "unresolvable CDI devices gpu.migctl.dev/claim="}
"""Said by the kubelet and by containerd."""
SHORTEST = 8
_BETWEEN_PARTS = re.compile(r'"\s*(?:\+\s*)?f?"')
_FIRST_CELL = re.compile(r"^\| (.*?) \| ", re.MULTILINE)
_QUOTE = re.compile(r"`([^`]+)`")
_CAMEL = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+")


def sources() -> str:
    """What the program can say: its sources with texts joined that stand on several lines."""
    folders = ("migctl", "nodeagent", "solver")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files += (ROOT / "deploy" / "manifests").rglob("*.yaml")
    text = "".join(path.read_text() for path in files)
    return re.sub(r"\s+", " ", _BETWEEN_PARTS.sub("", text)).replace('\\"', '"')


def quotes() -> list[str]:
    """Pieces of the program's own words, from the first cells of the tables."""
    spans = [span for cell in _FIRST_CELL.findall(PAGE.read_text()) for span in _QUOTE.findall(cell)]
    pieces = [piece.strip(' :"') for span in spans for piece in re.split(r'\.\.\.|"', span)]
    return [p for p in pieces if len(p) >= SHORTEST and p not in OTHERS and not p.startswith("kubectl")]


def kebab(word: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"-\1", word).lower()


@pytest.fixture(scope="module")
def said() -> str:
    return sources()


def test_every_quote_is_said_by_the_program(said: str) -> None:
    found = quotes()
    assert len(found) > 25
    missing = [q for q in found if q not in said and not (_CAMEL.fullmatch(q) and f'"{kebab(q)}"' in said)]
    assert not missing
