"""A picture on the terminal that is drawn again and again in its place."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from migctl.cli.output.terminal import Line


def as_text(lines: Iterable[Line]) -> Text:
    """Lines as rich has them."""
    return Text("\n", no_wrap=True).join(Text.assemble(*line) for line in lines)


class RedrawnPicture:
    """Open while it is on the terminal. whole_screen: nothing else is there meanwhile."""

    def __init__(self, whole_screen: bool = False) -> None:
        self._live = Live(console=Console(highlight=False), auto_refresh=False, screen=whole_screen)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def draw(self, lines: Iterable[Line]) -> None:
        """Show these lines instead of those before."""
        self._live.update(as_text(lines), refresh=True)
