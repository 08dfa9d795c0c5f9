"""Options that several commands take together, as one dataclass: each field is an option with its flag and default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from migctl.cli.grammar import options

if TYPE_CHECKING:
    from migctl.cli.output.listings import OutputOptions
    from migctl.cli.session import Session

G = TypeVar("G")

KEYWORD = inspect.Parameter.KEYWORD_ONLY


@dataclass(frozen=True)
class ListOptions:
    """How a list is written."""

    output: options.Output = None
    no_headers: options.NoHeaders = False
    sort_by: options.SortBy = None

    def view(self, session: Session) -> OutputOptions:
        """With the settings' default where no format is given. Raises Failure for an unknown one."""
        from migctl.cli.output.listings import view

        return view(session, self.output, not self.no_headers, self.sort_by)


def flags_of(group: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    """The fields of a dataclass, or the parameters of a function, as parameters of a command."""
    return tuple(p.replace(kind=KEYWORD) for p in inspect.signature(group, eval_str=True).parameters.values())


def taken(group: type[G], given: dict[str, Any]) -> G:
    """The dataclass made of its options among those given, which lose them."""
    return group(**{flag.name: given.pop(flag.name) for flag in flags_of(group)})


def with_parameters(command: Callable[..., None], parameters: Iterable[inspect.Parameter]) -> Callable[..., None]:
    """The command, which typer is shown with these parameters."""
    shown = tuple(parameters)
    command.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return command


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command some of whose parameters are dataclasses of options: typer is shown their fields instead."""
    groups: dict[str, type[Any]] = {}
    shown: list[inspect.Parameter] = []
    for parameter in flags_of(command):
        if is_dataclass(parameter.annotation) and isinstance(parameter.annotation, type):
            groups[parameter.name] = parameter.annotation
            shown += flags_of(parameter.annotation)
        else:
            shown.append(parameter)

    def called(**given: Any) -> None:
        made = {name: taken(group, given) for name, group in groups.items()}
        command(**given, **made)

    called.__doc__ = command.__doc__
    called.__name__ = command.__name__
    return with_parameters(called, shown)
