"""Refusals, with the API server's messages."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer other than 2xx: a Status object."""

    def __init__(
        self, code: int, reason: str, message: str, *, causes: list[dict[str, str]] | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        details: dict[str, Any] = {}
        if causes:
            details["causes"] = causes
        if retry_after:
            details["retryAfterSeconds"] = retry_after
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
            **({"details": details} if details else {}),
        }


def not_found(resource: str, name: str) -> Refused:
    return Refused(404, "NotFound", f'{resource} "{name}" not found')


def conflict(resource: str, name: str, why: str) -> Refused:
    return Refused(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}')


def already_exists(resource: str, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{resource} "{name}" already exists')


def invalid(resource: str, name: str, field: str, why: str) -> Refused:
    return Refused(
        422,
        "Invalid",
        f'{resource} "{name}" is invalid: {field}: {why}',
        causes=[{"reason": "FieldValueInvalid", "message": why, "field": field}],
    )


def denied(resource: str, name: str, policy: str, why: str, *, forbidden: bool = False) -> Refused:
    """A ValidatingAdmissionPolicy's refusal."""
    said = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: {why}"
    if forbidden:
        return Refused(403, "Forbidden", f'{resource} "{name}" is forbidden: {said}')
    return Refused(422, "Invalid", f'The {resource} "{name}" is invalid: : {said}', causes=[{"message": said}])


def expired() -> Refused:
    return Refused(410, "Expired", "The resourceVersion for the provided watch is too old.")


def forbidden(user: str, verb: str, resource: str, group: str, namespace: str) -> Refused:
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    what = f'resource "{resource}" in API group "{group}"{where}'
    named = resource.partition("/")[0] + (f".{group}" if group else "")
    return Refused(403, "Forbidden", f'{named} is forbidden: User "{user}" cannot {verb} {what}')
