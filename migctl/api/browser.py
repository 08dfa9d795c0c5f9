"""A browser signs in with a link that works once, and out again."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from migctl.access.audit.trail import AuditTrail
from migctl.access.identity.sessions import SESSION_LIFETIME, Sessions
from migctl.access.identity.sign_in import SignIn
from migctl.api.doors import tell
from migctl.api.tcp.guard import COOKIE
from migctl.api.tcp.listener import Listener
from migctl.backends.protocol import ControlPlaneError
from migctl.objects import RoleInScope

CSRF_COOKIE = "migctl_csrf"
LANDING = "/docs"


def links_of(sessions: Sessions, listener: Listener) -> Callable[[str, tuple[RoleInScope, ...]], str]:
    """Makes links that sign a browser in once, for a user with these roles."""
    return lambda user, given: f"{listener.url}/login?key={sessions.link(user, given)}"


def browser_routes(sign_in: SignIn, trail: AuditTrail | None, *, secure: bool) -> APIRouter:
    """The way in and the way out. secure: cookies travel over TLS only."""
    routes = APIRouter()

    @routes.get("/login")
    async def login(request: Request, key: str) -> Response:
        try:
            cookie, session = sign_in.sessions.redeem(key)
        except ControlPlaneError as error:
            tell(trail, request, "", "login", error)
            raise
        tell(trail, request, session.who.user, "login")
        answer = RedirectResponse(LANDING, 303)
        seconds = int(SESSION_LIFETIME.total_seconds())
        answer.set_cookie(COOKIE, cookie, max_age=seconds, secure=secure, httponly=True, samesite="strict")
        answer.set_cookie(CSRF_COOKIE, session.csrf, max_age=seconds, secure=secure, samesite="strict")
        return answer

    @routes.post("/logout", status_code=204)
    async def logout(request: Request) -> Response:
        refused = getattr(request.state, "refused", None)
        if refused is not None:
            raise refused
        caller = getattr(request.state, "caller", None)
        if caller is not None and caller.session:
            sign_in.sessions.close(caller.session)
            tell(trail, request, caller.user, "logout")
        answer = Response(status_code=204)
        for cookie in (COOKIE, CSRF_COOKIE):
            answer.delete_cookie(cookie)
        return answer

    return routes
