"""Exit codes, and an error as three lines: what happened, why, what to do next.

error: no workload 'frac05' in project team-a
cause: it may have been deleted
hint: migctl list jobs -p team-a
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

import typer


class ExitCode(IntEnum):
    """What scripts may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNSCHEDULABLE = 5
    FORBIDDEN = 6
    TIMEOUT = 124
    INTERRUPTED = 130


class Failure(Exception):
    """An error that ends a command."""

    def __init__(self, message: str, *, cause: str = "", hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.code = code

    def lines(self) -> str:
        """The failure as it is written on stderr."""
        parts = (("error", self.message), ("cause", self.cause), ("hint", self.hint))
        return "".join(f"{name}: {printable(text)}\n" for name, text in parts if text)


def printable(text: str) -> str:
    """The text with escapes for what would steer a terminal, which names in other people's objects may hold."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def usage(message: str, hint: str = "") -> Failure:
    """The command was called in a way that it cannot be."""
    return Failure(message, hint=hint, code=ExitCode.USAGE)


def not_found(message: str, hint: str = "") -> Failure:
    """The failure of a command whose object does not exist."""
    return Failure(message, hint=hint, code=ExitCode.NOT_FOUND)


def translate(error: Exception) -> Failure | None:
    """The failure that an expected error means; None for a defect of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, typer.TyperException):
        return _misuse(error)
    if isinstance(error, typer.Abort):
        return Failure("stopped before anything was done")
    return _refusal(error) or _system(error)


def _misuse(error: typer.TyperException) -> Failure:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context is not None else ""
    return Failure(_sentence(error.format_message()), hint=hint, code=ExitCode(error.exit_code))


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


FLAGS = {
    "meta.name": "the name",
    "meta.project": "-p",
    "meta.labels": "--label",
    "spec.parallelism": "--parallelism",
    "spec.completions": "--completions",
    "spec.backoffLimit": "--backoff-limit",
    "spec.ttlAfterFinishS": "--ttl-after-finish",
    "spec.environment": "-e",
    "spec.pools": "node pools",
    "spec.image": "-i",
    "spec.department": "--department",
    "spec.quota": "--quota",
    "spec.limit": "--limit",
    "spec.overQuotaWeight": "--over-quota-weight",
    "spec.minRuntimeS": "--min-runtime",
    "spec.user": "--user",
    "spec.access.role": "--role",
    "spec.access.scope": "--project, --department",
    "spec.expires": "--ttl",
}
"""What people give where a field of an object is set; the longest beginning of a field counts."""
_FIELD = re.compile(r"((?:meta|spec)(?:\.[A-Za-z]+)+)\S*: (.*)", re.DOTALL)


def refusal(error: Exception, flags: Mapping[str, str] | None) -> Failure:
    """What the control plane refuses, in the words of the command line.

    flags  by field, before FLAGS; None: fields are called what they are called in documents
    """
    from migctl.backends import protocol
    from migctl.quantities import BadQuantity

    codes: dict[type[Exception], ExitCode] = {
        protocol.NotFound: ExitCode.NOT_FOUND,
        protocol.AlreadyExists: ExitCode.CONFLICT,
        protocol.Conflict: ExitCode.CONFLICT,
        protocol.Expired: ExitCode.CONFLICT,
        protocol.Invalid: ExitCode.USAGE,
        protocol.Forbidden: ExitCode.FORBIDDEN,
        protocol.Unauthenticated: ExitCode.FORBIDDEN,
        protocol.ControlPlaneError: ExitCode.FAILED,
        BadQuantity: ExitCode.USAGE,
    }
    code = next(code for kind, code in codes.items() if isinstance(error, kind))
    said = str(error) if flags is None else _by_flag(str(error), {**FLAGS, **flags})
    return Failure(said, hint=getattr(error, "hint", ""), code=code)


def _by_flag(text: str, flags: Mapping[str, str]) -> str:
    """The sentence after the flag that sets the field at its beginning."""
    match = _FIELD.fullmatch(text)
    known = [field for field in flags if match and (match[1] == field or match[1].startswith(f"{field}."))]
    return f"{flags[max(known, key=len)]}: {match[2]}" if match and known else text


def _refusal(error: Exception) -> Failure | None:
    from migctl.backends.protocol import ControlPlaneError
    from migctl.quantities import BadQuantity

    return refusal(error, {}) if isinstance(error, ControlPlaneError | BadQuantity) else None


def _system(error: Exception) -> Failure | None:
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith(("migctl", "solver", "nodeagent")):
        return Failure(
            f"this installation lacks {error.name}, which the command needs",
            hint="install all of migctl, with: pip install migctl",
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror}")
    return None
