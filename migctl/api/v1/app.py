"""The application at /api/v1."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from migctl.api.v1.errors import ErrorBody, RefusalBody, add_errors
from migctl.api.v1.routes import (
    access,
    audit,
    decisions,
    identity,
    machines,
    organization,
    submission,
    token,
    verdict,
    watch,
    workloads,
)
from migctl.api.v1.routes.familiar import assets, authorization, pods, reports
from migctl.api.v1.service import RoutesService
from migctl.api.v1.watching.streams import Watching

PREFIX = "/api/v1"

ERRORS: dict[int | str, dict[str, object]] = {
    400: {"model": RefusalBody, "description": "A value breaks a rule; field and rule are named."},
    401: {"model": ErrorBody, "description": "No token, or one that is not valid (any more)."},
    403: {"model": ErrorBody, "description": "The caller may not; it does not tell whether the thing exists."},
    501: {"model": ErrorBody, "description": "There is nothing of that kind here."},
    429: {"model": ErrorBody, "description": "Too many; Retry-After says when to try again."},
    503: {"model": ErrorBody, "description": "Try again in a moment."},
}


BEARER = HTTPBearer(auto_error=False, description="What POST /api/v1/token answered with.")
"""For the document alone: who the caller is says service.py."""


def create_v1(service: RoutesService) -> FastAPI:
    """The application; its paths are below PREFIX."""
    app = FastAPI(
        title="migctl",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        dependencies=[Depends(BEARER)],
    )
    app.state.service = service
    app.state.watching = Watching(service)
    for routes in (
        identity.routes,
        token.routes,
        access.routes,
        authorization.routes,
        assets.routes,
        audit.routes,
        decisions.routes,
        machines.routes,
        organization.routes,
        verdict.routes,
        pods.routes,
        reports.routes,
        workloads.routes,
        submission.routes,
        watch.routes,
    ):
        app.include_router(routes)
    add_errors(app)
    return app
