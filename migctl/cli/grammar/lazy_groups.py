"""Command groups whose commands load when they run, and commands that take words after `--`.

Importing every command costs more than running one. A lazy group knows its commands' names and summaries, so
that help and completion need no imports; a test holds the summaries to the commands' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from migctl.cli.failures import usage

AFTER_DASHES = "migctl.after_dashes"
TYPED = "migctl.typed"
WORDS = "words"
"""The argument that holds a program's words, which may be empty after the first."""

WHERE = {
    "context": "The control plane: local, or a context of the kubeconfig.",
    "kubeconfig": "Where contexts are looked up.",
}

APP_SETTINGS: dict[str, Any] = {
    "add_completion": False,  # only the whole of migctl installs it
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


@dataclass(frozen=True)
class Lazy:
    """Where a command is, "module:function" or "module:app", and its summary."""

    target: str
    summary: str
    made_with: type[TyperCommand] = TyperCommand
    hidden: bool = False
    anywhere: bool = True
    """It is about a control plane, so that --context and --kubeconfig say which."""

    def load(self, name: str) -> Any:
        """The command, imported."""
        module, attribute = self.target.split(":")
        loaded = getattr(import_module(module), attribute)
        command = typer.main.get_command(loaded if isinstance(loaded, typer.Typer) else self._alone(name, loaded))
        for each in _with_those_below(command):
            if self.anywhere and not isinstance(each, TyperGroup):
                each.params += [_context_option(name, text) for name, text in WHERE.items()]
            refuse_empty_words(each)
        return command

    def _alone(self, name: str, function: Callable[..., Any]) -> typer.Typer:
        app = typer.Typer(**APP_SETTINGS)
        app.command(name, cls=self.made_with)(function)
        return app


def _with_those_below(command: Any) -> Iterator[Any]:
    """The command and, of a group, its commands; lazy ones see to themselves when they are loaded."""
    yield command
    if isinstance(command, TyperGroup) and not isinstance(command, LazyGroup):
        for below in command.commands.values():
            yield from _with_those_below(below)


def _context_option(name: str, text: str) -> TyperOption:
    """--context or --kubeconfig."""
    return TyperOption(
        param_decls=[f"--{name}"], metavar=name.upper(), help=text, expose_value=False, callback=_override_session
    )


def refuse_empty_words(command: Any) -> None:
    """Let a command take no empty word for a name or value: a variable that is not set means nothing."""
    for parameter in command.params:
        parameter.callback = partial(_refuse_empty, parameter.callback)


def _refuse_empty(then: Callable[..., Any] | None, context: Any, parameter: Any, value: Any) -> Any:
    words = value[:1] if parameter.name == WORDS else value if isinstance(value, list | tuple) else [value]
    if "" in (words or ()) and context.get_parameter_source(parameter.name).name == "COMMANDLINE":
        called = next((name for name in parameter.opts if name.startswith("--")), "a name")
        raise usage(f"{called} is empty", hint=f"{context.command_path} --help")
    return then(context, parameter, value) if then else value


def _override_session(context: Any, option: Any, value: str | None) -> None:
    """Set the option's value in the session; in a line that is only completed there is none yet."""
    if value is None:
        return
    if context.resilient_parsing:
        context.meta.setdefault(TYPED, {})[option.name] = value
    else:
        context.obj = replace(context.obj, **{option.name: value})


class _Loaded(MutableMapping[str, Any]):
    """The commands of a table, each made at its first use."""

    def __init__(self, table: dict[str, Lazy]) -> None:
        self._table = table
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._table[name].load(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class HelpGroup(TyperGroup):
    """A group that shows its help when it is called without a command, and a command's for `help COMMAND`.

    Commands are found by their singular and their plural, and without their hyphen.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args or ["--help"])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        joined = {name.replace("-", ""): name for name in self.commands}
        names = (cmd_name, f"{cmd_name}s", cmd_name.removesuffix("s"))
        known = next((name for name in names if name in self.commands), None)
        return super().get_command(ctx, known or next((joined[name] for name in names if name in joined), cmd_name))


class LazyGroup(HelpGroup):
    """A group whose commands come from a table, by heading."""

    table: ClassVar[dict[str, dict[str, Lazy]]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Loaded({name: lazy for part in self.table.values() for name, lazy in part.items()})

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(len(name) for name in self.commands)
        for heading, part in self.table.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), lazy.summary) for name, lazy in part.items() if not lazy.hidden]
                )

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=lazy.summary)
            for part in self.table.values()
            for name, lazy in part.items()
            if name.startswith(incomplete) and not lazy.hidden
        ]
        return names or super(TyperGroup, self).shell_complete(ctx, incomplete)


class WordsCommand(TyperCommand):
    """A command that keeps the words after `--` apart, for the program they are meant for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta[AFTER_DASHES] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


class ShellCommand(WordsCommand):
    """One that takes a program's words without `--` too: then its own options come before the first word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_interspersed_args = "--" in args
        return super().parse_args(ctx, args)


def after_dashes(context: typer.Context) -> tuple[str, ...]:
    """The words after `--`."""
    words: tuple[str, ...] = context.meta.get(AFTER_DASHES, ())
    return words
