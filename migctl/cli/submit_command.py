"""`submit` for both grammars: a command made of the options that they share and of a grammar's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer

from migctl.cli.grammar.lazy_groups import after_dashes
from migctl.cli.grammar.submit_options import GrammarOptions, SubmitOptions

if TYPE_CHECKING:
    from migctl.cli.session import Session


ABOUT_COMMAND = "The words after -- are its command; without any it holds its share until it is deleted."

OwnOptions = Callable[..., GrammarOptions]
"""Reads a grammar's own flags: its parameters are they, after the session's."""


def submit_command(own: OwnOptions, summary: str) -> Callable[..., None]:
    """The command whose parameters are those of SubmitOptions, with the grammar's own among them."""

    def submit(context: typer.Context, **given: Any) -> None:
        from migctl.cli import session as sessions
        from migctl.cli.workloads import submit as submitting

        session: Session = sessions.of(context)
        shared = {field.name: given.pop(field.name) for field in fields(SubmitOptions)}
        submitting.submit(session, own(session, **given), SubmitOptions(**shared), after_dashes(context))

    parameters = _parameters(own)
    submit.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    submit.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    submit.__doc__ = (
        f"{summary}\n\nThe words after -- are its command; without any it holds its share until it is deleted."
    )
    return submit


def _parameters(own: OwnOptions) -> Sequence[inspect.Parameter]:
    _, *gpus = inspect.signature(own, eval_str=True).parameters.values()
    name, image, *others = inspect.signature(SubmitOptions, eval_str=True).parameters.values()
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    named = (parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (name, image, *gpus, *others))
    return (context, *named)
