"""A program's secret for a token of a quarter of an hour."""

from __future__ import annotations

from fastapi import APIRouter, Request

from migctl.api.doors import tell
from migctl.api.v1.schemas.access import TokenAnswer, TokenRequest
from migctl.api.v1.service import service_of
from migctl.backends.protocol import ControlPlaneError, Invalid, RateLimited

routes = APIRouter(tags=["identity"])

GRANTS = {"app_token": ("app_id", "app_secret"), "client_credentials": ("client_id", "client_secret")}


@routes.post("/token")
async def token(asked: TokenRequest, request: Request) -> TokenAnswer:
    """Sign in: the names of the fields are read without regard to case."""
    service = service_of(request)
    if service.identity.exchange is None:
        raise Invalid("nobody signs in here: the socket says who you are", hint="migctl up --listen 127.0.0.1:8443")
    fields = GRANTS.get(asked.grant_type.lower())
    if fields is None:
        raise Invalid(
            "grantType: app_token (with AppId, AppSecret) or client_credentials (with clientID, clientSecret)",
            hint="migctl token create NAME --role ROLE gives both: the name and the secret",
            field="grantType",
        )
    name, secret = (getattr(asked, field) for field in fields)
    if not name or not secret:
        missing = fields[0] if not name else fields[1]
        raise Invalid(
            f"{TokenRequest.model_fields[missing].alias}: is empty",
            hint="migctl token create NAME --role ROLE gives both: the name and the secret",
            field=str(TokenRequest.model_fields[missing].alias),
        )
    try:
        issued = await service.identity.exchange.exchange(name, secret, str(getattr(request.state, "origin", "socket")))
    except ControlPlaneError as error:
        if not isinstance(error, RateLimited):
            tell(service.trail, request, "", "login", error, name=name)
        raise
    tell(service.trail, request, issued.user, "login", name=name)
    return TokenAnswer(access_token=issued.access_token, expires_in=issued.expires_in_s)
