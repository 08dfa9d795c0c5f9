"""Names as they are typed: `NAME`, or `KIND/NAME` as -o name prints it."""

from __future__ import annotations

from migctl.cli.failures import usage


def split(word: str, *kinds: str) -> tuple[str, str]:
    """The kind ("" where none is typed) and the name. Raises Failure where the kind is another, or a part is empty.

    kinds  the words for it, the usual one first
    """
    kind, slash, name = word.rpartition("/")
    if not name or (slash and kind not in kinds):
        raise usage(f"{word!r} names no {kinds[0]}", hint=f"NAME, or {kinds[0]}/NAME")
    return kind, name


def plain(word: str, *kinds: str) -> str:
    """The name alone."""
    return split(word, *kinds)[1]
