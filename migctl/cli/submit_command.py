"""`submit` for both grammars: a command made of the options that they share and of a grammar's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer

from migctl.cli.grammar.lazy_groups import after_dashes
from migctl.cli.grammar.option_groups import KEYWORD, flags_of, taken, with_parameters
from migctl.cli.grammar.submit_options import GrammarOptions, SubmitOptions

ABOUT_COMMAND = "The words after -- are its command; without any it holds its share until it is deleted."

OwnOptions = Callable[..., GrammarOptions]
"""Reads a grammar's own flags: its parameters are they, after the session's."""


def submit_command(own: OwnOptions, summary: str) -> Callable[..., None]:
    """The command whose parameters are those of SubmitOptions, with the grammar's own after the first two."""

    def submit(context: typer.Context, **given: Any) -> None:
        from migctl.cli import session as sessions
        from migctl.cli.workloads import submit as submitting

        session = sessions.of(context)
        shared = taken(SubmitOptions, given)
        submitting.submit(session, own(session, **given), shared, after_dashes(context))

    submit.__doc__ = f"{summary}\n\n{ABOUT_COMMAND}"
    _, *gpus = flags_of(own)
    name, image, *others = flags_of(SubmitOptions)
    context = inspect.Parameter("context", KEYWORD, annotation=typer.Context)
    return with_parameters(submit, (context, name, image, *gpus, *others))
