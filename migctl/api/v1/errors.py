"""Errors as the API tells them: {code, message, details}; code is the HTTP status.

400 names the field and the rule; 401 who are you; 403 you may not, whether or not it exists; 404; 409; 501 there is
nothing of that kind here; 503 try again.
"""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException

from migctl.api.v1.not_here import NotOffered, not_offered
from migctl.api.v1.schemas.schema import Schema
from migctl.backends.http.wire import error_status
from migctl.backends.protocol import ControlPlaneError, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable

log = structlog.get_logger()

RETRY_AFTER_S = 1


class ErrorBody(Schema):
    """The body of every error."""

    code: int = Field(description="The HTTP status.", examples=[404])
    message: str = Field(description="What happened and why.")
    details: str = Field(default="", description="What to do next, or which field breaks which rule.")


class ComplianceIssue(Schema):
    """A field that breaks a rule."""

    field: str
    details: str


class RefusalBody(ErrorBody):
    """The body of a 400: with each field that breaks a rule."""

    compliance_issues: tuple[ComplianceIssue, ...] = ()


def refusal(field: str, rule: str, hint: str = "") -> Invalid:
    """That a field breaks a rule."""
    return Invalid(f"{field}: {rule}", hint, field)


def add_errors(app: FastAPI) -> None:
    """Answer every error of the application in this form."""

    @app.exception_handler(ControlPlaneError)
    async def refused(request: Request, error: ControlPlaneError) -> JSONResponse:
        if isinstance(error, NotFound):
            error = not_offered(request.url.path, named=True) or error
        if isinstance(error, NotOffered):
            return _not_offered(error)
        if isinstance(error, Unauthenticated):
            return _answer(
                ErrorBody(code=401, message=str(error), details=error.hint),
                {"WWW-Authenticate": 'Bearer realm="migctl"'},
            )
        if isinstance(error, Invalid):
            issues = [ComplianceIssue(field=error.field, details=str(error))] if error.field else []
            return _answer(
                RefusalBody(code=400, message=str(error), details=error.hint, compliance_issues=tuple(issues))
            )
        headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else {}
        if isinstance(error, RateLimited):
            headers = {"Retry-After": str(error.retry_after_s)}
        return _answer(ErrorBody(code=error_status(error), message=str(error), details=error.hint), headers)

    @app.exception_handler(RequestValidationError)
    async def misused(_: Request, error: RequestValidationError) -> JSONResponse:
        issues = [
            ComplianceIssue(
                field=".".join(str(part) for part in found["loc"][1:]),
                details=found["msg"].removeprefix("Value error, "),
            )
            for found in error.errors()
        ]
        told = "; ".join(f"{issue.field}: {issue.details}" if issue.field else issue.details for issue in issues[:4])
        return _answer(RefusalBody(code=400, message=told, compliance_issues=tuple(issues)))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        return no_route(request, error)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", method=request.method, path=request.url.path, exc_info=error)
        return _answer(ErrorBody(code=500, message="this is a bug of migctl", details="its log tells more"))


def no_route(request: Request, error: HTTPException) -> JSONResponse:
    """What a path or method is answered with that is none of the API's."""
    if error.status_code in (404, 405) and (known := not_offered(request.url.path)) is not None:
        return _not_offered(known)
    told = f"{request.method} {request.url.path}: {error.detail}"
    return _answer(ErrorBody(code=error.status_code, message=told), dict(error.headers or {}))


def _not_offered(error: NotOffered) -> JSONResponse:
    return _answer(ErrorBody(code=501, message=str(error), details=error.hint))


def _answer(body: ErrorBody, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body.model_dump(by_alias=True), body.code, headers)
